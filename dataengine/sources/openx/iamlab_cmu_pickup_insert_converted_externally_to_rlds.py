"""CMU IAMLab (`iamlab_cmu_pickup_insert_converted_externally_to_rlds` 0.1.0): a Franka picks and inserts, 20 Hz.

observation/state  (t, 20)  seven joints, gripper 1 open, wrenches in two frames    -> state [joints gripper]
action             (t, 8)   pose at the next step: x y z, quaternion wxyz; gripper  -> action, an absolute pose of 7

Order of the quaternion, next step and sense of the gripper by the publisher's script. Loaders read the quaternion as
xyzw and the pose as a motion. In episodes of insertion the gripper was not recorded and is 0 throughout. The wrenches
stay in `raw_state`. Cameras of 360x640 and, at the wrist, 240x320, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

XYZW = [4, 5, 6, 3]
"""Columns of the action's quaternion, which starts with w."""


@dataclass(frozen=True)
class IamlabCmuPickupInsertConvertedExternallyToRlds(RldsSource):
    """Picking up and inserting, two cameras."""

    name: ClassVar[str] = "openx/iamlab_cmu_pickup_insert_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "franka_joint_state_eef_target"
    control_hz: ClassVar[float] = 20.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "wrist_image"}
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 20, "action": 8}

    def convert(self, steps: Steps) -> Motion:
        """Turn quaternions into roll, pitch and yaw."""
        state, action = steps["observation"]["state"], steps["action"]
        turn = conventions.quaternion_to_euler(action[:, XYZW])
        return Motion(
            state=columns(state[:, :7], np.clip(state[:, 7], 0.0, 1.0)),
            action=columns(action[:, :3], turn, np.clip(action[:, 7], 0.0, 1.0)),
            raw_state=untouched(state),
            raw_action=untouched(action),
            state_encoding="joint_position",
            action_encoding="eef_pose",
        )
