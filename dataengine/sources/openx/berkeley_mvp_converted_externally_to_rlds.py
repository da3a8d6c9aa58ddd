"""MVP (`berkeley_mvp_converted_externally_to_rlds` 0.1.0): an xArm's six tasks, seen from its hand, 5 Hz.

observation/joint_pos  (t, 7)  seven joints                                    -> state[:, :7]
observation/gripper    (t,)    bool, true is closed                            -> state[:, 7], turned
action                 (t, 8)  motion of seven joints, gripper 1 closed        -> action, gripper turned

The catalog gives the gripper's sense for the state only; one of two loaders turns the action's, the other does not:
both grippers are taken to mean the same. Radians are taken for the joints. The pose of the gripper (x y z and a
quaternion of unpublished order) stays in `raw_state`. The only camera is at the hand. 480x640, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class BerkeleyMvpConvertedExternallyToRlds(RldsSource):
    """Six tasks, one camera in the hand."""

    name: ClassVar[str] = "openx/berkeley_mvp_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "xarm_joint_delta"
    control_hz: ClassVar[float] = 5.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"wrist": "hand_image"}
    doubt: ClassVar[str] = "sense of the action's gripper; unit of the joints"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/joint_pos": 7,
        "observation/gripper": 1,
        "observation/pose": 7,
        "action": 8,
    }

    def convert(self, steps: Steps) -> Motion:
        """Turn the grippers round."""
        seen, action = steps["observation"], steps["action"]
        return Motion(
            state=columns(seen["joint_pos"], 1.0 - seen["gripper"].astype(np.float32)),
            action=columns(action[:, :7], 1.0 - np.clip(action[:, 7], 0.0, 1.0)),
            raw_state=self.raw(steps, "observation"),
            raw_action=untouched(action),
            state_encoding="joint_position",
            action_encoding="joint_delta",
        )
