"""FMB, the Functional Manipulation Benchmark (`fmb`, by loaders `fmb_dataset`): a Franka Panda assembles pegs, 10 Hz.

observation/eef_pose            (t, 7)  x y z in metres, quaternion xyzw, from the base    -> state[:, :6]
observation/state_gripper_pose  (t,)    0 open, 1 closed                                   -> state[:, 6], turned
action                          (t, 7)  motion in metres, roll pitch yaw in the base's frame, gripper 0 open, 1 closed
                                        -> action, the gripper turned

Loaders call the pose Euler angles and leave the gripper as it is. The publisher records pictures as BGR and its
builder writes them as they are: red and blue of all four cameras are swapped back. An episode's instruction comes
first, those of its primitives (grasp, insert ...) follow. Joints, speeds, forces and torques stay raw. Depth is left
out. Images are 256x256.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class Fmb(RldsSource):
    """Grasping, regrasping and insertion of pegs, two cameras beside the table and two on the hand."""

    name: ClassVar[str] = "openx/fmb"
    embodiment: ClassVar[str] = "franka"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "CC BY 4.0"
    cameras: ClassVar[Mapping[str, str]] = {
        "primary": "image_side_1",
        "secondary": "image_side_2",
        "wrist": "image_wrist_1",
        "wrist_2": "image_wrist_2",
    }
    bgr: ClassVar[frozenset[str]] = frozenset({"primary", "secondary", "wrist", "wrist_2"})
    episode_instruction_key: ClassVar[str] = "episode_metadata/episode_language_instruction"
    doubt: ClassVar[str] = "pictures are read as BGR"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/eef_pose": 7,
        "observation/state_gripper_pose": 1,
        "observation/joint_pos": 7,
        "observation/joint_vel": 7,
        "observation/eef_vel": 6,
        "observation/eef_force": 3,
        "observation/eef_torque": 3,
        "action": 7,
    }

    def convert(self, steps: Steps) -> Motion:
        """Turn quaternions into roll, pitch and yaw, and both grippers."""
        seen, action = steps["observation"], steps["action"]
        pose, closed = seen["eef_pose"], np.clip(seen["state_gripper_pose"], 0.0, 1.0)
        return Motion(
            state=columns(pose[:, :3], conventions.quaternion_to_euler(pose[:, 3:]), 1.0 - closed),
            action=columns(action[:, :6], 1.0 - np.clip(action[:, 6], 0.0, 1.0)),
            raw_state=self.raw(steps, "observation"),
            raw_action=untouched(action),
        )
