"""Does the robot's hand go the way that the other hand went? Cosines, beside those of latent actions of other moments.

Shape letters: n latent actions of a clip, r runs with shuffled ones.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pipelines.evaluation import directions
from pipelines.evaluation.directions import Floats, interval_of_mean

STILL = 0.1
"""A hand moves if it goes further than this share of what its fastest twentieth of intervals do."""


class Agreement(BaseModel):
    """Mean cosine between the ways of two hands, over all clips."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    mode: str
    """`predicted` by the forward model, executed in `open loop`, or in `closed loop`."""
    clips: int
    intervals: int
    """In which the hand of the recording moved."""
    direction: float
    shuffled: float
    """The same with latent actions of other moments."""
    low: float
    """Of the difference, 95 % by bootstrap over clips, of a single one over its intervals."""
    high: float

    @property
    def shows(self) -> bool:
        """Whether latent actions, and not chance, make the direction."""
        return self.low > 0


def cosines(source: NDArray[np.floating], executed: NDArray[np.floating]) -> Floats:
    """Cosines (m,) of ways (n, 3) in the m intervals in which the first hand moved; 0 where the second stood still."""
    length = np.linalg.norm(source, axis=1)
    moves = length > max(STILL * float(np.quantile(length, 0.95)), 1e-9) if len(length) else np.zeros(0, bool)
    return directions.cosines(source[moves], executed[moves])


def agreement(mode: str, true: Sequence[Floats], shuffled: Sequence[Floats], seed: int = 0) -> Agreement | None:
    """Compare cosines of each clip (m,) with those of shuffled runs (r, m); None where no hand moved."""
    pairs = [(one, other) for one, other in zip(true, shuffled, strict=True) if len(one)]
    if not pairs:
        return None
    random = np.random.default_rng(seed)
    by_clip = np.array([[one.mean(), other.mean()] for one, other in pairs])
    units = by_clip[:, 0] - by_clip[:, 1]
    if len(pairs) == 1:
        one, other = pairs[0]
        units = one - other.mean(axis=0)
    low, high = interval_of_mean(units, random)
    return Agreement(
        mode=mode,
        clips=len(pairs),
        intervals=sum(len(one) for one, _ in pairs),
        direction=round(float(by_clip[:, 0].mean()), 4),
        shuffled=round(float(by_clip[:, 1].mean()), 4),
        low=low,
        high=high,
    )
