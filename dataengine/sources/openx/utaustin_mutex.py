"""MUTEX (`utaustin_mutex` 0.1.0): a Franka in household scenes, 20 Hz.

observation/state  (t, 24)  seven joints, gripper's position, 4x4 pose of the end effector
                            -> state [x y z roll pitch yaw gripper], the gripper over 0.08 m
action             (t, 7)   motion of x y z and of three angles, gripper; -1 opens, +1 closes
                            -> action, gripper 0 closed to 1 open

Loaders take the joints for the state; the pose is there, so it is taken. Neither the scale of the motion nor whether
its angles are axis times angle is published: they are kept. The gripper's command follows the loaders, no
documentation says otherwise. Red and blue of both cameras are swapped, which is undone. Joints stay in `raw_state`.
Steps whose matrix is all zero hold the last pose. 128x128.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.raw import untouched
from dataengine.sources.openx import _gripper
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns, hold_gaps, pose_of_matrix

FULL_WIDTH_M = 0.08


@dataclass(frozen=True)
class UtaustinMutex(RldsSource):
    """Tasks with long instructions, two cameras."""

    name: ClassVar[str] = "openx/utaustin_mutex"
    embodiment: ClassVar[str] = "franka_unscaled"
    control_hz: ClassVar[float] = 20.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "wrist_image"}
    bgr: ClassVar[frozenset[str]] = frozenset({"primary", "wrist"})
    doubt: ClassVar[str] = "scale and kind of the turn; unit of the gripper's width"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 24, "action": 7}

    def convert(self, steps: Steps) -> Motion:
        """Take the pose out of the matrix; turn the gripper's command round."""
        state, action = steps["observation"]["state"], steps["action"]
        gripper, notes = _gripper.opening(action[:, 6], state[:, 7], plus_one="closes")
        matrix, gaps = hold_gaps(state[:, 8:])
        return Motion(
            state=columns(pose_of_matrix(matrix), np.clip(state[:, 7] / FULL_WIDTH_M, 0.0, 1.0)),
            action=columns(action[:, :6], gripper),
            raw_state=untouched(state),
            raw_action=untouched(action),
            notes={**notes, **gaps},
        )
