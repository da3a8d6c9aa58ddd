"""RT-1's data (`fractal20220817_data` 0.1.0): a Google mobile manipulator, 3 Hz.

observation/base_pose_tool_reached     (t, 7)  x y z in metres, quaternion xyzw, from the base -> state[:, :6]
observation/gripper_closed             (t, 1)  0 open, 1 closed                                -> state[:, 6], turned
action/world_vector, rotation_delta    (t, 3)  metres, radians (roll pitch yaw)                -> action[:, :6]
action/gripper_closedness_action       (t, 1)  +1 closes, -1 opens, near 0 holds     -> action[:, 6], integrated

The catalog calls the gripper's command a continuous position; loaders, and the values -1, 0 and 1, speak for a
relative one. Loaders leave the state's gripper at 1 closed, so that it contradicts their action; ours agree.
The base's motion and the three flags that end an episode stay in `raw_action`. Translations of up to 22 m occur in the
raw actions; they are left to the curation. Images are 256x320 and are scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class Fractal20220817Data(RldsSource):
    """Kitchen manipulation, one head camera."""

    name: ClassVar[str] = "openx/fractal20220817_data"
    embodiment: ClassVar[str] = "google_robot"
    control_hz: ClassVar[float] = 3.0
    licence: ClassVar[str] = "CC BY 4.0"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "the gripper's command is read as relative"
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/base_pose_tool_reached": 7,
        "observation/gripper_closed": 1,
        "action/world_vector": 3,
        "action/rotation_delta": 3,
        "action/gripper_closedness_action": 1,
        "action/base_displacement_vector": 2,
        "action/base_displacement_vertical_rotation": 1,
        "action/terminate_episode": 3,
    }

    def convert(self, steps: Steps) -> Motion:
        """Turn quaternions into roll, pitch and yaw; integrate the gripper's commands."""
        pose, closed = steps["observation"]["base_pose_tool_reached"], steps["observation"]["gripper_closed"]
        action = steps["action"]
        close = action["gripper_closedness_action"]
        return Motion(
            state=columns(pose[:, :3], conventions.quaternion_to_euler(pose[:, 3:]), 1.0 - np.clip(closed, 0.0, 1.0)),
            action=columns(
                action["world_vector"], action["rotation_delta"], conventions.open_from_relative(close.reshape(-1))
            ),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action"),
        )
