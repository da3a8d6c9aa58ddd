"""Fanuc manipulation (`berkeley_fanuc_manipulation` 0.1.0): a FANUC Mate 200iD, 10 Hz.

observation/end_effector_state  (t, 7)   x y z, quaternion                              -> state[:, :6]
observation/state               (t, 13)  six joints, gripper open status, joint speeds  -> state[:, 6]
action                          (t, 6)   dx dy dz, droll dpitch dyaw                    -> action[:, :6]
                                         the next step's gripper status                 -> action[:, 6]

There is no gripper in the action: where it is to be is read off the state one step later. Loaders take the joints for
the state and one minus the present status for the gripper; the catalog calls that status open, so it is not turned.
The order of the quaternion is not published, xyzw is taken; so are metres and radians. Red and blue of both cameras
are swapped, which is undone. Joints stay in `raw_state`. 224x224.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class BerkeleyFanucManipulation(RldsSource):
    """Various manipulation, two cameras."""

    name: ClassVar[str] = "openx/berkeley_fanuc_manipulation"
    embodiment: ClassVar[str] = "fanuc_mate"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "wrist_image"}
    bgr: ClassVar[frozenset[str]] = frozenset({"primary", "wrist"})
    doubt: ClassVar[str] = "order of the quaternion; gripper of the action made from the state"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 13, "observation/end_effector_state": 7, "action": 6}

    def convert(self, steps: Steps) -> Motion:
        """Join pose and gripper; let the next step's gripper be what the action asks for."""
        seen, action = steps["observation"], steps["action"]
        tip, opening = seen["end_effector_state"], np.clip(seen["state"][:, 6], 0.0, 1.0)
        return Motion(
            state=columns(tip[:, :3], conventions.quaternion_to_euler(tip[:, 3:]), opening),
            action=columns(action, np.append(opening[1:], opening[-1:])),
            raw_state=self.raw(steps, "observation"),
            raw_action=untouched(action),
        )
