"""Next frames predicted with the right latent actions and with wrong ones, for pairs that are chosen already."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.analysis.groups import PairGroup
from pipelines.training.lam.scores import Pairs, VisualScore, save_pictures

if TYPE_CHECKING:
    from models.lam import Lam

TOGETHER = 32
"""Pictures predicted at once."""
ROWS = 4
"""Pairs shown of each group."""


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """The predictions of one group."""

    score: VisualScore
    sheet: Path
    """Rows of current, next, predicted, and both errors."""
    which: NDArray[np.int64]
    """(n,) the pairs predicted, of the group's."""
    change: NDArray[np.float64]
    """(n,) how much the picture changed in each, mean of absolute levels."""


def predict(
    lam: "Lam",
    group: PairGroup,
    which: NDArray[np.int64],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    sheet: Path,
    advance: Callable[[int], None],
) -> Predicted:
    """Predict some pairs with their own latent action and with that of another pair of the group."""
    import torch

    latent = torch.from_numpy(group.latent[which])
    # Half a turn, as when training is evaluated: every pair gets a latent action from elsewhere.
    wrong = latent.roll(max(len(which) // 2, 1), dims=0)
    sides: list[list[NDArray[np.uint8]]] = [[], []]
    for first in range(0, len(which), TOGETHER):
        some = slice(first, first + TOGETHER)
        frames = torch.from_numpy(before[some]).permute(0, 3, 1, 2).to(lam.mean.device)
        for side, z in zip(sides, (latent, wrong), strict=True):
            side.append(lam.render(frames, z[some].to(frames.device)).permute(0, 2, 3, 1).cpu().numpy())
        advance(len(frames))
    predicted, shuffled = (np.concatenate(side) for side in sides)
    pairs = Pairs(
        embodiment=group.title,
        before=before,
        after=after,
        predicted=predicted,
        shuffled=shuffled,
        codes=group.codes[which],
    )
    save_pictures([pairs], sheet, ROWS)
    change = np.abs(after.astype(np.int16) - before).mean(axis=(1, 2, 3))
    return Predicted(score=pairs.score(), sheet=sheet, which=which, change=change)
