"""What a detector saw in the pictures of a clip, as the hands of the clip."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataengine.hands.hands import NUM_KEYPOINTS, Hand, Hands, Side

SEEN: tuple[Side, ...] = ("left", "right")


@dataclass(frozen=True)
class Detection:
    """One hand in one picture."""

    side: Side
    score: float
    """How sure the detector is of the side, 0 to 1."""
    points: NDArray[np.float32]
    """(21, 2) shares of the picture's width and height, our order."""


def from_detections(pictures: Sequence[Sequence[Detection]]) -> Hands:
    """Take of each picture the surest hand of each side; a clip in which none was seen has hands that are absent."""
    sides: dict[Side, Hand] = {}
    for side in SEEN:
        confidence = np.full(len(pictures), np.nan, np.float32)
        points = np.full((len(pictures), NUM_KEYPOINTS, 2), np.nan, np.float32)
        for step, seen in enumerate(pictures):
            mine = [one for one in seen if one.side == side and np.isfinite(one.points).all()]
            if mine:
                best = max(mine, key=lambda one: one.score)
                confidence[step], points[step] = np.clip(best.score, 0, 1), best.points
        sides[side] = Hand(present=np.isfinite(confidence), confidence=confidence, keypoints_2d=points)
    return Hands(sides=sides, source="detector", estimated=True)
