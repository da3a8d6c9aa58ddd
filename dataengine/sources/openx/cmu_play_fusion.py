"""PlayFusion (`cmu_play_fusion` 0.1.0): a Franka that plays in three kitchens and at a table, 5 Hz.

observation/state  (t, 8)  seven joints, gripper's position                              -> state
action             (t, 9)  motion of x y z, turn as a quaternion, gripper, end of episode -> action of 7

Loaders take the last four numbers of the action for rotation and gripper: two of them are parts of the quaternion
and one ends the episode. The order of the quaternion and the gripper's sense are not published: xyzw and 1 for open
are taken. A quaternion of zeros is no turn. 128x128.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

NO_TURN = np.array([0.0, 0.0, 0.0, 1.0])


@dataclass(frozen=True)
class CmuPlayFusion(RldsSource):
    """Play with language, one camera."""

    name: ClassVar[str] = "openx/cmu_play_fusion"
    embodiment: ClassVar[str] = "franka_joint_state"
    control_hz: ClassVar[float] = 5.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "order of the quaternion; sense of the gripper"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 8, "action": 9}

    def convert(self, steps: Steps) -> Motion:
        """Turn quaternions into roll, pitch and yaw."""
        state, action = columns(steps["observation"]["state"]), columns(steps["action"])
        turn = np.where(action[:, 3:7].any(axis=1, keepdims=True), action[:, 3:7], NO_TURN)
        return Motion(
            state=state,
            action=columns(action[:, :3], conventions.quaternion_to_euler(turn), action[:, 7]),
            raw_state=untouched(steps["observation"]["state"]),
            raw_action=untouched(steps["action"]),
            state_encoding="joint_position",
        )
