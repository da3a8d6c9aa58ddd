"""Where a robot's hands are, for the stages that judge motion."""

import numpy as np
from numpy.typing import NDArray

from dataengine.episode import Episode

ARM_WIDTH = 7
"""Values of one arm in a canonical vector `[x y z roll pitch yaw gripper]`."""


def hand_positions(episode: Episode) -> NDArray[np.float64] | None:
    """(t, hands, 3) metres; None where the state does not say, as with joint angles or no state at all."""
    state = episode.state
    if state is None or episode.state_encoding != "eef_pose" or state.shape[1] % ARM_WIDTH:
        return None
    return state.reshape(len(state), -1, ARM_WIDTH)[..., :3].astype(np.float64)


def gripper_openings(episode: Episode) -> NDArray[np.float64] | None:
    """(t, hands), 0 closed to 1 open; None where the state does not say."""
    state = episode.state
    if state is None or state.shape[1] % ARM_WIDTH:
        return None
    return state[:, ARM_WIDTH - 1 :: ARM_WIDTH].astype(np.float64)
