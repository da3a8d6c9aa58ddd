"""LIBERO without idle steps (`libero_{spatial,object,goal,10}_no_noops`): a simulated Franka Panda, 20 Hz.

state   (t, 8)  x y z in metres, axis times angle in radians, two finger positions (0..0.04 and -0.04..0 m)
                -> state [x y z roll pitch yaw gripper], 0 closed to 1 open
action  (t, 7)  -1..1: x y z of 0.05 m, axis times angle of 0.5 rad, in a step; gripper -1 opens, +1 closes
                -> action [metres, radians as roll pitch yaw, gripper 0 closed to 1 open]

Each of the four suites is a folder of its own; all are read by this source. Images were turned upright by those who
made this edition. Loaders call the state's rotation Euler angles; LIBERO's own recorder writes axis times angle.
They clip the gripper's command to 0..1 before they turn it: the same for -1 and +1, the only values it takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

METRES_PER_STEP, RADIANS_PER_STEP = 0.05, 0.5
"""Output limits of robosuite's OSC_POSE controller, with which LIBERO runs."""
FULL_WIDTH_M = 0.08


@dataclass(frozen=True)
class Libero(RldsSource):
    """Simulated kitchen and table tasks, two cameras."""

    name: ClassVar[str] = "openx/libero"
    embodiment: ClassVar[str] = "franka"
    control_hz: ClassVar[float] = 20.0
    licence: ClassVar[str] = "CC BY 4.0"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "wrist_image"}
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 8, "action": 7}

    def convert(self, steps: Steps) -> Motion:
        """Turn axis angles into roll, pitch and yaw, commands into metres and radians."""
        return motion(steps["observation"]["state"], steps["action"])


def motion(state: NDArray, action: NDArray) -> Motion:
    """Turn the simulator's states (t, 8) and actions (t, 7), as said above, into canonical ones."""
    width_m = state[:, 6] - state[:, 7]
    turn = conventions.axis_angle_to_euler(action[:, 3:6] * RADIANS_PER_STEP)
    return Motion(
        state=columns(
            state[:, :3],
            conventions.axis_angle_to_euler(state[:, 3:6]),
            np.clip(width_m / FULL_WIDTH_M, 0.0, 1.0),
        ),
        action=columns(action[:, :3] * METRES_PER_STEP, turn, conventions.open_from_closing(action[:, 6])),
        raw_state=untouched(state),
        raw_action=untouched(action),
    )
