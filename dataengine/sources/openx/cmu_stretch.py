"""CMU Stretch (`cmu_stretch` 0.1.0): a Hello Robot Stretch in kitchens, 10 Hz.

observation/state  (t, 4)  x y z of the gripper in metres (the catalog adds: or joints), gripper   -> state
action             (t, 8)  x y z and three angles of the gripper, gripper 0 or 1, 1 ends the episode
                           -> action [x y z, angles, gripper clipped to 0..1]

The catalog documents the action as a position and a rotation, not as their change, so that is what it is here; loaders
use it as a change. It says nothing of the angles' order (roll pitch yaw assumed) nor of the gripper (1 open assumed, as
loaders have it). The state has no rotation; loaders pad it. One camera of 128x128.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class CmuStretch(RldsSource):
    """Household tasks of a mobile manipulator, one camera."""

    name: ClassVar[str] = "openx/cmu_stretch"
    embodiment: ClassVar[str] = "hello_stretch_no_turn_state_eef_target"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "action is a pose or its change; order of its angles; polarity of the gripper"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 4, "action": 8}

    def convert(self, steps: Steps) -> Motion:
        """Take the documentation by its word: an absolute pose."""
        state, action = steps["observation"]["state"], steps["action"]
        return Motion(
            state=columns(state[:, :3], np.clip(state[:, 3], 0.0, 1.0)),
            action=columns(action[:, :6], np.clip(action[:, 6], 0.0, 1.0)),
            raw_state=untouched(state),
            raw_action=untouched(action),
            action_encoding="eef_pose",
        )
