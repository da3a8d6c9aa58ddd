"""Dobb-E, Homes of New York (`dobbe` 0.0.1): a hand-held stick with a Stretch's gripper and a phone, 3.75 Hz.

observation/state  (t, 7)  x y z in metres, roll pitch yaw in radians, gripper 0 closed to 1 open  -> state
observation/quat   (t, 4)  the same rotation as xyzw                                               -> raw_state
action             (t, 7)  motion in metres, roll pitch yaw about the gripper's own axes, the next gripper
                           -> action, the turn seen from the frame of the state

The pose is the phone's, from where its recording began; there is no base. Its only camera is on the gripper; it takes
the primary slot, for nothing would be trained on the episode otherwise (loaders differ on it). Images are 256x256.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class Dobbe(RldsSource):
    """Doors, drawers, handles and objects in 22 homes, one camera on the gripper."""

    name: ClassVar[str] = "openx/dobbe"
    embodiment: ClassVar[str] = "hello_stretch"
    control_hz: ClassVar[float] = 3.75
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "wrist_image"}
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 7, "observation/quat": 4, "action": 7}

    def convert(self, steps: Steps) -> Motion:
        """Tell the turn in the frame in which the motion is told."""
        state, action = steps["observation"]["state"], steps["action"]
        turn = conventions.turn_seen_from_base(
            conventions.euler_to_matrix(state[:, 3:6]), conventions.euler_to_matrix(action[:, 3:6])
        )
        return Motion(
            state=columns(state[:, :6], np.clip(state[:, 6], 0.0, 1.0)),
            action=columns(action[:, :3], conventions.matrix_to_euler(turn), np.clip(action[:, 6], 0.0, 1.0)),
            raw_state=self.raw(steps, "observation"),
            raw_action=untouched(action),
        )
