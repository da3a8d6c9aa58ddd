"""UCSD Kitchen (`ucsd_kitchen_dataset_converted_externally_to_rlds` 0.1.0): an xArm in toy kitchens, 2 Hz.

observation/state  (t, 21)  seven joints, their speeds, their torques                         -> state, the joints
action             (t, 8)   x y z in millimetres, roll pitch yaw in degrees, gripper, flag    -> action, metres and
                            radians, an absolute pose, without the flag that ends the episode

Loaders read the action as a motion. The catalog calls it the end effector's position and orientation, and the numbers
are hundreds of millimetres and angles up to 180 degrees, by others who converted the data; the catalog gives no
units. Those of the joints (radians are taken) and which end of the gripper is open (1 is taken) are not published.
One camera of 480x640, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

MM = 1e-3


@dataclass(frozen=True)
class UcsdKitchenDatasetConvertedExternallyToRlds(RldsSource):
    """Toy kitchens, one camera."""

    name: ClassVar[str] = "openx/ucsd_kitchen_dataset_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "xarm_joint_state_no_gripper_eef_target"
    control_hz: ClassVar[float] = 2.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "millimetres and degrees of the action; unit of the joints; sense of the gripper"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 21, "action": 8}

    def convert(self, steps: Steps) -> Motion:
        """Turn millimetres and degrees into metres and radians."""
        state, action = steps["observation"]["state"], steps["action"]
        return Motion(
            state=columns(state[:, :7]),
            action=columns(action[:, :3] * MM, np.radians(action[:, 3:6]), action[:, 6]),
            raw_state=untouched(state),
            raw_action=untouched(action),
            state_encoding="joint_position",
            action_encoding="eef_pose",
        )
