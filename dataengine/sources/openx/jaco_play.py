"""CLVR Jaco Play (`jaco_play` 0.1.0): a Kinova Jaco 2 with two fingers, teleoperated pick and place, 10 Hz.

observation/end_effector_cartesian_pos  (t, 7)  x y z, quaternion (xyzw assumed)    -> state[:, :6], roll pitch yaw
observation/joint_pos                   (t, 8)  six joints, two fingers in radians  -> state[:, 6], 0 closed to 1 open
action/world_vector                     (t, 3)  motion of the gripper               -> action[:, :3]
action/gripper_closedness_action        (t, 1)  +1 closes, -1 opens, 0 holds        -> action[:, 6], integrated

Loaders read elements 3 to 6 of the pose as three angles and a gripper; the publisher's readme calls them a quaternion
and the last two joints the fingers. Kinova's driver counts 0 open and 80 degrees closed. The hand is not turned by
actions: roll, pitch and yaw are zero. The unit of the motion is not published. Joints and velocities stay raw.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

CLOSED_RAD = np.radians(80.0)
"""A finger that is fully closed, by the driver's scale of 80 degrees for 6800 turns of its motor."""


@dataclass(frozen=True)
class JacoPlay(RldsSource):
    """Table-top toy kitchen, one camera in front and one on the arm."""

    name: ClassVar[str] = "openx/jaco_play"
    embodiment: ClassVar[str] = "jaco_unscaled"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "CC BY 4.0"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "image_wrist"}
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    doubt: ClassVar[str] = "unit of the motion; order of the quaternion; scale of the fingers"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/end_effector_cartesian_pos": 7,
        "observation/joint_pos": 8,
        "observation/end_effector_cartesian_velocity": 6,
        "action/world_vector": 3,
        "action/gripper_closedness_action": 1,
        "action/terminate_episode": 3,
    }

    def convert(self, steps: Steps) -> Motion:
        """Turn quaternions into roll, pitch and yaw, fingers into openness; integrate the gripper's commands."""
        seen, action = steps["observation"], steps["action"]
        pose, joints = seen["end_effector_cartesian_pos"], seen["joint_pos"]
        move, close = action["world_vector"], action["gripper_closedness_action"]
        closed = np.clip(joints[:, 6:].mean(axis=1) / CLOSED_RAD, 0.0, 1.0)
        return Motion(
            state=columns(pose[:, :3], conventions.quaternion_to_euler(pose[:, 3:]), 1.0 - closed),
            action=columns(move, np.zeros_like(move), conventions.open_from_relative(close.reshape(-1))),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action"),
        )
