"""Fetch: a mobile manipulator in MuJoCo (gymnasium-robotics), scripted, 25 Hz; base still, gripper pointing down.

state   (t, 8)  grip x y z in metres, two finger positions 0..0.05 m, grip velocity in metres a step
                -> state[:, :3] metres; state[:, 6] fingers' width over 0.1 m, 0 closed to 1 open
action  (t, 4)  -1..1: x y z, of 0.05 m in a step; fingers, +1 opens and -1 closes
                -> action[:, :3] metres; action[:, 6] 0 closed to 1 open

The gripper never turns: roll, pitch and yaw are zero. `image` looks from the side, `wrist_image` from the gripper.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

METRES_PER_STEP = 0.05
FULL_WIDTH_M = 0.1


@dataclass(frozen=True)
class Fetch(RldsSource):
    """Simulated reaching, pushing and picking, two cameras."""

    name: ClassVar[str] = "openx/fetch"
    embodiment: ClassVar[str] = "fetch"
    control_hz: ClassVar[float] = 25.0
    licence: ClassVar[str] = "MIT"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "wrist_image"}
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 8, "action": 4}

    def convert(self, steps: Steps) -> Motion:
        """Scale the commands to metres and turn the fingers to 0 closed, 1 open."""
        state, action = steps["observation"]["state"], steps["action"]
        no_turn = np.zeros((len(state), 3), np.float32)
        width_m = state[:, 3] + state[:, 4]
        return Motion(
            state=columns(state[:, :3], no_turn, np.clip(width_m / FULL_WIDTH_M, 0.0, 1.0)),
            action=columns(action[:, :3] * METRES_PER_STEP, no_turn, conventions.open_from_opening(action[:, 3])),
            raw_state=untouched(state),
            raw_action=untouched(action),
        )
