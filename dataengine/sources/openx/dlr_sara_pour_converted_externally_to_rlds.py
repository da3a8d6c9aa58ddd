"""SARA pours (`dlr_sara_pour_converted_externally_to_rlds` 0.1.0): DLR's SARA arm, 10 Hz.

observation/state  (t, 6)  x y z, angles of scipy's as_euler("zxy") -> state [x y z roll pitch yaw], no gripper
action             (t, 7)  see below                                -> made anew: the motion to the next state

The publisher's script makes the action out of neighbouring states. The catalog calls it a pose, the publisher's
readme a motion in the base's frame, the script one in the gripper's; what its seventh number is, nobody says. So the
motion is made anew from the states, in the base's frame, without the last step; the published action stays in
`raw_action`. Loaders read the angles about the fixed axes z, x and y as roll, pitch and yaw. One camera of 480x640,
scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class DlrSaraPourConvertedExternallyToRlds(RldsSource):
    """Pouring from a bottle into a mug, one camera."""

    name: ClassVar[str] = "openx/dlr_sara_pour_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "dlr_sara_no_gripper"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "action made anew from the states"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 6, "action": 7}

    def convert(self, steps: Steps) -> Motion:
        """Turn the angles into roll, pitch and yaw; take the motion from one state to the next."""
        state, action = steps["observation"]["state"], steps["action"]
        pose = columns(state[:, :3], conventions.euler_of_axes_to_euler(state[:, 3:6], "zxy"))
        return Motion(
            state=pose[:-1],
            action=columns(conventions.motion_between(pose)),
            raw_state=untouched(state[:-1]),
            raw_action=untouched(action[:-1]),
        )
