"""Imperial's Sawyer (`imperialcollege_sawyer_wrist_cam` 0.1.0): table-top tasks seen from the wrist, 10 Hz.

observation/state  (t, 1)  the gripper's first command, at all steps but one -> raw_state; there is no pose
action             (t, 8)  motion in the gripper's frame, turn as ZYX angles, gripper, end of the episode
                           -> action [x y z roll pitch yaw gripper] in the gripper's frame

Turns about the moving axes z, y and x are yaw, pitch and roll, so their order is reversed; loaders leave it. Which
end of the gripper is open is not published; by a slip in the publisher's script the state tells nothing of it.
`image` is a copy of `wrist_image`: it is kept once, as primary, where it is seen from the wrist. 64x64.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class ImperialcollegeSawyerWristCam(RldsSource):
    """Short tasks from one demonstration each, one camera."""

    name: ClassVar[str] = "openx/imperialcollege_sawyer_wrist_cam"
    embodiment: ClassVar[str] = "sawyer_no_state_eef_frame"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "wrist_image"}
    doubt: ClassVar[str] = "sense of the gripper"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 1, "action": 8}

    def convert(self, steps: Steps) -> Motion:
        """Order the angles; leave out the flag that ends an episode."""
        action = steps["action"]
        turn = conventions.euler_of_axes_to_euler(action[:, 3:6], "ZYX")
        return Motion(
            state=None,
            action=columns(action[:, :3], turn, action[:, 6]),
            raw_state=untouched(steps["observation"]["state"]),
            raw_action=untouched(action),
            state_encoding="none",
        )
