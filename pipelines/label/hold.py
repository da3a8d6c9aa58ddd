"""Codes of a frame that is repeated: what a model says where nothing happens.

A model looks at what came before, so it may say it in other codes at the start of a clip than further on: each place of
a window is asked.
"""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataengine.spread import spread
from pipelines.label.encode import encode_windows

if TYPE_CHECKING:
    from models.lam import Lam

FRAMES = 8
"""Frames of a segment of a video that are asked, evenly spaced: 8 windows beside the 256 of a full segment."""


class HoldStillCounts:
    """Counts, for each pair of a window, how many frames get which codes when they are repeated; counts add up."""

    def __init__(self, num_pairs: int) -> None:
        self._counts = [Counter[tuple[int, ...]]() for _ in range(num_pairs)]

    def ask(self, lam: "Lam", frames: NDArray[np.uint8], batch: int) -> None:
        """Count some of the frames (f, side, side, 3)."""
        some = spread(len(frames), FRAMES)
        repeated = np.repeat(np.arange(len(some))[:, None], len(self._counts) + 1, axis=1)
        _, codes = encode_windows(lam, frames[some], repeated, batch)
        for count, of_pair in zip(self._counts, codes.swapaxes(0, 1), strict=True):
            count.update(map(tuple, of_pair.tolist()))

    @classmethod
    def commonest(cls, several: Iterable["HoldStillCounts"]) -> NDArray[np.int16]:
        """(pairs, k) codes that most frames of all get, of equal ones the lowest."""
        totals = [sum(counts, Counter[tuple[int, ...]]()) for counts in zip(*(h._counts for h in several), strict=True)]
        return np.array([min(total, key=lambda codes: (-total[codes], codes)) for total in totals], np.int16)
