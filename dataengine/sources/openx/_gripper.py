"""Which way a gripper's command goes, where the publisher does not say or contradicts itself: its width tells."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dataengine import conventions

LEAST_TRAVEL_M = 0.01
"""Fingers that moved less together than this, in an episode, tell nothing."""


def opening(
    command: NDArray, width_m: NDArray, plus_one: Literal["opens", "closes"]
) -> tuple[NDArray[np.float64], dict[str, str]]:
    """Turn (t,) commands of -1 and +1 into 0 closed, 1 open, and note how that was decided.

    The width grows while the command opens, however late the fingers follow. `plus_one` is what the publisher, or
    whoever reads the data, says of +1; it decides where the fingers hardly moved.
    """
    command = np.asarray(command, np.float64)
    travel_m = float((np.sign(command[:-1]) * np.diff(np.asarray(width_m, np.float64))).sum())
    decided = abs(travel_m) >= LEAST_TRAVEL_M
    way = ("opens" if travel_m > 0 else "closes") if decided else plus_one
    notes = {"gripper_polarity": f"+1 {way} ({'by the width' if decided else 'assumed'})"}
    return (conventions.open_from_opening if way == "opens" else conventions.open_from_closing)(command), notes
