"""SARA pours (`dlr_sara_pour_converted_externally_to_rlds` 0.1.0): DLR's SARA arm, shared control, 10 Hz.

observation/state  (t, 6)  x y z, angles of scipy's as_euler("zxy")      -> state [x y z roll pitch yaw], no gripper
action             (t, 7)  x y z, angles likewise, one undocumented      -> action, an absolute pose, the last as it is

Loaders read the angles as roll, pitch and yaw and the action as a motion: by the catalog the angles are about the
fixed axes z, x and y, and the action is a pose. What the seventh number of the action is, nobody says. Metres and
radians are taken. One camera of 480x640, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

AXES = "zxy"


@dataclass(frozen=True)
class DlrSaraPourConvertedExternallyToRlds(RldsSource):
    """Pouring from a bottle into a mug, one camera."""

    name: ClassVar[str] = "openx/dlr_sara_pour_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "dlr_sara_eef_target_no_gripper_state"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "action read as a pose; its seventh number"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 6, "action": 7}

    def convert(self, steps: Steps) -> Motion:
        """Turn the angles about z, x and y into roll, pitch and yaw."""
        state, action = steps["observation"]["state"], steps["action"]
        return Motion(
            state=columns(state[:, :3], conventions.euler_of_axes_to_euler(state[:, 3:6], AXES)),
            action=columns(action[:, :3], conventions.euler_of_axes_to_euler(action[:, 3:6], AXES), action[:, 6]),
            raw_state=columns(state),
            raw_action=columns(action),
            action_encoding="eef_pose",
        )
