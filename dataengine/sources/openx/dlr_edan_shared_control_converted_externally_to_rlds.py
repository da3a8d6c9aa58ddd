"""DLR EDAN: a wheelchair with a light-weight arm, driven by shared control, 5 Hz.

observation/state  (t, 7)  x y z in metres, yaw pitch roll in radians ("zxy"), gripper  -> state
action             (t, 7)  motion in metres, yaw pitch roll of the turn ("zxy"), gripper -> action

All in the base's frame. The angles turn about z, then x, then y, as scipy's lower-case "zxy" means, and become roll
pitch yaw. The catalog calls the action a position, the publisher's readme a delta: it is one. The action's gripper
repeats the state's. Which end of it is closed is not published: loaders take 1 as closed, for the action only; we take
it for both. One camera of 360x640, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class DlrEdanSharedControlConvertedExternallyToRlds(RldsSource):
    """Shelf and drawer tasks of an assistive robot, one camera."""

    name: ClassVar[str] = "openx/dlr_edan_shared_control_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "edan"
    control_hz: ClassVar[float] = 5.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "polarity of the gripper"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 7, "action": 7}

    def convert(self, steps: Steps) -> Motion:
        """Order the angles and turn the gripper, of state and action alike."""
        state, action = steps["observation"]["state"], steps["action"]
        return Motion(
            state=_house(state), action=_house(action), raw_state=untouched(state), raw_action=untouched(action)
        )


def _house(vector: NDArray) -> NDArray[np.float32]:
    angles = conventions.euler_of_axes_to_euler(vector[:, 3:6], "zxy")
    return columns(vector[:, :3], angles, 1.0 - np.clip(vector[:, 6], 0.0, 1.0))
