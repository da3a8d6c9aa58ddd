"""RoboTurk (`roboturk` 0.1.0): Sawyers that fold cloth and stack bowls, driven by crowds with phones, 10 Hz.

action/world_vector, rotation_delta  (t, 3)  motion and turn                       -> action[:, :6]
action/gripper_closedness_action     (t, 1)  +1 closes, 0 or -1 opens, by loaders  -> action[:, 6], 0 closed to 1 open

There is no proprioception. The catalog says nothing of units, of the angles and of the gripper: the motion is kept as
it is, the angles are taken as roll pitch yaw. One camera of 480x640, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class Roboturk(RldsSource):
    """Three tasks of real robots, one camera."""

    name: ClassVar[str] = "openx/roboturk"
    embodiment: ClassVar[str] = "sawyer_no_state_unscaled"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "front_rgb"}
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    doubt: ClassVar[str] = "scale of the motion; sense of the gripper"
    keys: ClassVar[Mapping[str, int]] = {
        "action/world_vector": 3,
        "action/rotation_delta": 3,
        "action/gripper_closedness_action": 1,
        "action/terminate_episode": 1,
    }

    def convert(self, steps: Steps) -> Motion:
        """Turn the gripper round."""
        action = steps["action"]
        closed = np.clip(action["gripper_closedness_action"], 0.0, 1.0)
        return Motion(
            state=None,
            action=columns(action["world_vector"], action["rotation_delta"], 1.0 - closed),
            raw_state=None,
            raw_action=self.raw(steps, "action"),
            state_encoding="none",
        )
