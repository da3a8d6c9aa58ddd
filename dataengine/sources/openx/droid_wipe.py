"""Wiping a table (`droid_wipe`): OpenVLA's fine-tuning set on a DROID Franka, 15 Hz.

observation/cartesian_position  (t, 6)  x y z in metres, roll pitch yaw                -> state[:, :6]
observation/gripper_position    (t, 1)  0 open, 1 closed                               -> state[:, 6], turned
action_dict/cartesian_velocity  (t, 6)  command of up to 1: of 0.075 m and of 0.15 rad in a step  -> action[:, :6]
action_dict/gripper_position    (t, 1)  commanded, 0 open, 1 closed                    -> action[:, 6], turned

Read as DROID is (droid.py says what loaders do otherwise), with one of the two cameras outside. Nothing tells which
attempts failed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.sources.openx import droid
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class DroidWipe(RldsSource):
    """One task, one camera beside the robot and one on its hand."""

    name: ClassVar[str] = "openx/droid_wipe"
    embodiment: ClassVar[str] = "franka"
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
        """Scale the command as the controller does; turn both grippers."""
        seen, command = steps["observation"], steps["action_dict"]
        gripper = 1.0 - np.clip(command["gripper_position"], 0.0, 1.0)
        return Motion(
            state=columns(seen["cartesian_position"], 1.0 - np.clip(seen["gripper_position"], 0.0, 1.0)),
            action=columns(droid.motion(command["cartesian_velocity"]), gripper),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action_dict"),
        )
