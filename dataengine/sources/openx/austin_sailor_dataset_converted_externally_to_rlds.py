"""Austin SAILOR: a Franka Panda lays a table and cooks with toys, teleoperated, 20 Hz.

observation/state  (t, 8)  x y z in metres, quaternion (xyzw assumed), width between the fingers, 0 to 0.077 m
                           -> state [x y z, roll pitch yaw, width over 0.077 m]
action             (t, 7)  motion and turn of the gripper, as commands of its controller; gripper -1 or +1
                           -> action, the gripper 0 closed to 1 open

The controller moves x, y, z and yaw. The scale of its commands is not published: they are kept. Nor is the sign of the
gripper's: the width decides for each episode, and where the fingers hardly move +1 closes, as loaders have it. Joints
and the matrix of the pose stay raw. Images are 128x128.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx import _gripper
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

FULL_WIDTH_M = 0.077


@dataclass(frozen=True)
class AustinSailorDatasetConvertedExternallyToRlds(RldsSource):
    """Play and three table tasks, one camera beside the table and one on the hand."""

    name: ClassVar[str] = "openx/austin_sailor_dataset_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "franka_unscaled"
    control_hz: ClassVar[float] = 20.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "wrist_image"}
    doubt: ClassVar[str] = "scale of the motion; order of the quaternion"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/state": 8,
        "observation/state_joint": 7,
        "observation/state_ee": 16,
        "action": 7,
    }

    def convert(self, steps: Steps) -> Motion:
        """Turn quaternions into roll, pitch and yaw; let the width say which way the gripper's command goes."""
        state, action = steps["observation"]["state"], steps["action"]
        gripper, notes = _gripper.opening(action[:, 6], state[:, 7], plus_one="closes")
        return Motion(
            state=columns(
                state[:, :3],
                conventions.quaternion_to_euler(state[:, 3:7]),
                np.clip(state[:, 7] / FULL_WIDTH_M, 0.0, 1.0),
            ),
            action=columns(action[:, :6], gripper),
            raw_state=self.raw(steps, "observation"),
            raw_action=untouched(action),
            notes=notes,
        )
