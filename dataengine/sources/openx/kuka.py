"""QT-Opt's data (`kuka` 0.1.0): Kuka iiwa arms that pick from bins on their own, 10 Hz.

observation/clip_function_input/base_pose_tool_reached
                                       (t, 7)  x y z in metres, quaternion xyzw, from the base -> state[:, :6]
observation/gripper_closed             (t, 1)  0 open, 1 closed                                -> state[:, 6], turned
action/world_vector, rotation_delta    (t, 3)  metres, radians (roll pitch yaw)                -> action[:, :6]
action/gripper_closedness_action       (t, 1)  +1 closes, -1 opens, near 0 holds     -> action[:, 6], integrated

The pose's feature has a slash in its name and is stored with zlib. Most attempts failed: those without `success` are
left out unless `keep_failures`. The base's motion and the flags that end an episode stay in `raw_action`. One camera
of 512x640, scaled.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from dataengine import conventions
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns, lookup

POSE = "observation/clip_function_input/base_pose_tool_reached"


@dataclass(frozen=True)
class Kuka(RldsSource):
    """Bin picking, one camera over the shoulder."""

    _: KW_ONLY
    keep_failures: Annotated[bool, "Keep attempts that the publisher marks as failed."] = False

    name: ClassVar[str] = "openx/kuka"
    embodiment: ClassVar[str] = "kuka_iiwa"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    episode_keys: ClassVar[tuple[str, ...]] = ("success",)
    keys: ClassVar[Mapping[str, int]] = {
        POSE: 7,
        "observation/gripper_closed": 1,
        "action/world_vector": 3,
        "action/rotation_delta": 3,
        "action/gripper_closedness_action": 1,
        "action/base_displacement_vector": 2,
        "action/base_displacement_vertical_rotation": 1,
        "action/terminate_episode": 3,
    }

    def succeeded(self, record: Mapping[str, Any]) -> bool:
        """Take the publisher's flag."""
        return bool(record["success"])

    def leave_out(self, record: Mapping[str, Any]) -> str | None:
        """Leave out what the publisher does not mark as a success."""
        return None if self.keep_failures or self.succeeded(record) else "the attempt failed (success is false)"

    def convert(self, steps: Steps) -> Motion:
        """Turn quaternions into roll, pitch and yaw; integrate the gripper's commands."""
        pose, closed = lookup(steps, POSE), lookup(steps, "observation/gripper_closed")
        action = steps["action"]
        gripper = conventions.open_from_relative(action["gripper_closedness_action"].reshape(-1))
        return Motion(
            state=columns(pose[:, :3], conventions.quaternion_to_euler(pose[:, 3:]), 1.0 - np.clip(closed, 0.0, 1.0)),
            action=columns(action["world_vector"], action["rotation_delta"], gripper),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action"),
        )
