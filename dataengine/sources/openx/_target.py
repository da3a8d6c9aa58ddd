"""Whether an action is a pose to go to or a motion, where publishers' words are unclear: where the robot is tells."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

FACTOR = 4.0
"""So many times nearer to the robot than to zero, or the other way round, is taken for evidence."""


def reads_as(target: NDArray, position: NDArray) -> Literal["pose", "motion", "neither"]:
    """Tell what (t, 3) targets look like beside (t, 3) positions: a pose is near the robot, a motion near zero.

    The rule of a source does not follow it, for a body has one kind of action; reports count it.
    """
    target, position = np.asarray(target, np.float64), np.asarray(position, np.float64)
    from_robot = float(np.median(np.linalg.norm(target - position, axis=1)))
    from_zero = float(np.median(np.linalg.norm(target, axis=1)))
    if from_robot * FACTOR < from_zero:
        return "pose"
    return "motion" if from_zero * FACTOR < from_robot else "neither"
