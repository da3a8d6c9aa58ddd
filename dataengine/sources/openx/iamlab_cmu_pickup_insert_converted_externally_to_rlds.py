"""CMU IAMLab (`iamlab_cmu_pickup_insert_converted_externally_to_rlds` 0.1.0): a Franka picks and inserts, 20 Hz.

observation/state  (t, 20)  seven joints, gripper's status, torques, forces -> state [joints gripper]
action             (t, 8)   x y z, quaternion, gripper open or closed       -> action, an absolute pose of 7

The catalog documents the action as the end effector's pose; loaders read it as a motion. The order of the
quaternion and the gripper's sense are not published: xyzw, as loaders have it, and 1 for open are taken. Torques
and forces stay in `raw_state`. Cameras of 360x640 and, at the wrist, 240x320, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class IamlabCmuPickupInsertConvertedExternallyToRlds(RldsSource):
    """Picking up and inserting, two cameras."""

    name: ClassVar[str] = "openx/iamlab_cmu_pickup_insert_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "franka_joint_state_eef_target"
    control_hz: ClassVar[float] = 20.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "wrist_image"}
    doubt: ClassVar[str] = "action read as a pose; order of its quaternion; sense of the gripper"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 20, "action": 8}

    def convert(self, steps: Steps) -> Motion:
        """Turn quaternions into roll, pitch and yaw."""
        state, action = steps["observation"]["state"], steps["action"]
        return Motion(
            state=columns(state[:, :8]),
            action=columns(action[:, :3], conventions.quaternion_to_euler(action[:, 3:7]), action[:, 7]),
            raw_state=columns(state),
            raw_action=columns(action),
            state_encoding="joint_position",
            action_encoding="eef_pose",
        )
