"""Orders of a hand's joints: which of a publisher's joints is each of our 21.

`hand[..., ORDER, :]` is a hand in our order. Joints that we have no place for (palm, metacarpals of the fingers) are
left out.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WRIST, THUMB_TIP, INDEX_TIP = 0, 4, 8
INDEX_MCP, MIDDLE_MCP, RING_MCP, LITTLE_MCP = 5, 9, 13, 17
FINGERS = (INDEX_MCP, MIDDLE_MCP, RING_MCP, LITTLE_MCP)
"""First joints of the four fingers; three more follow each."""

ARKIT = (0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 24)
"""Of ARKit's 25 or 27 joints of a hand (wrist first)."""
OPENXR = (1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 14, 15, 17, 18, 19, 20, 22, 23, 24, 25)
"""Of the 26 joints of OpenXR and HoloLens (palm first, then wrist)."""
SMPLX = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
"""Of MANO's 16 joints and five tips, thumb to little finger, as smplx gives them: its little finger comes before the
ring finger. manopth gives our order already."""
NOT_THERE = -1
ARIA = (5, NOT_THERE, 6, 7, 0, 8, 9, 10, 1, 11, 12, 13, 2, 14, 15, 16, 3, 17, 18, 19, 4)
"""Of the 21 of Aria's machine perception, which has no first joint of the thumb."""

_BONES = ("Knuckle", "IntermediateBase", "IntermediateTip", "Tip")
_DIGITS = ("Thumb", "IndexFinger", "MiddleFinger", "RingFinger", "LittleFinger")


def apple_names(side: str) -> tuple[str, ...]:
    """Name ARKit's joints of a side (`leftHand`, `leftThumbKnuckle`) in our order."""
    return (f"{side}Hand", *(f"{side}{digit}{bone}" for digit in _DIGITS for bone in _BONES))


def ordered(joints: NDArray, order: Sequence[int]) -> NDArray:
    """Bring (..., j, d) joints to (..., 21, d); what an order has not is NaN."""
    index = np.array(order)
    points = joints[..., index, :].copy()
    points[..., index == NOT_THERE, :] = np.nan
    return points
