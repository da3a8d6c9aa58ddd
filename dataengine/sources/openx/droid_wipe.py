"""Wiping a table (`droid_wipe`): OpenVLA's fine-tuning set on a DROID Franka, 15 Hz.

observation/cartesian_position  (t, 6)  x y z in metres, roll pitch yaw          -> state[:, :6]
observation/gripper_position    (t, 1)  0 open, 1 closed                         -> state[:, 6], turned
action_dict/cartesian_velocity  (t, 6)  parts of DROID's greatest step, -1 to 1  -> action[:, :6], velocity
action_dict/gripper_position    (t, 1)  0 open, 1 closed, absolute               -> action[:, 6], turned

Loaders turn the gripper of the action and leave that of the state, which DROID's recorder writes the same way: we
turn both. Cameras: one of the two outside and the one at the wrist.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class DroidWipe(RldsSource):
    """One task, two cameras."""

    name: ClassVar[str] = "openx/droid_wipe"
    embodiment: ClassVar[str] = "franka_eef_velocity"
    control_hz: ClassVar[float] = 15.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "exterior_image_2_left", "wrist": "wrist_image_left"}
    keys: ClassVar[Mapping[str, int]] = {
        "observation/cartesian_position": 6,
        "observation/gripper_position": 1,
        "action_dict/cartesian_velocity": 6,
        "action_dict/gripper_position": 1,
    }

    def convert(self, steps: Steps) -> Motion:
        """Turn the grippers round."""
        seen, asked = steps["observation"], steps["action_dict"]
        return Motion(
            state=columns(seen["cartesian_position"], 1.0 - np.clip(seen["gripper_position"], 0.0, 1.0)),
            action=columns(asked["cartesian_velocity"], 1.0 - np.clip(asked["gripper_position"], 0.0, 1.0)),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action_dict"),
            action_encoding="eef_velocity",
        )
