"""Playing with Food (`cmu_playing_with_food` 1.0.0): a Franka grasps, presses and releases slices of food, 15 Hz.

observation/state  (t, 6)  wrench at the end effector, zeros unless it presses  -> raw_state; there is no pose
action             (t, 8)  x y z, a quaternion that is always 1 0 0 0, gripper  -> action [x y z gripper], absolute

By the publisher's script. Loaders take the wrench for a pose, read the position as a motion and the quaternion as
xyzw, a half turn. While it grasps or releases the position is one point throughout; the gripper is 1 while releasing.
Pictures went from OpenCV into the files as they were: red and blue of all cameras are swapped, which is undone. The
two cameras in the fingers are black while pressing, and left out there. 480x640, scaled. The publisher says 15 Hz,
loaders 10.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.formats import jpeg
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class CmuPlayingWithFood(RldsSource):
    """Slices of 28 foods, one camera outside and one in each finger."""

    name: ClassVar[str] = "openx/cmu_playing_with_food"
    embodiment: ClassVar[str] = "franka_no_state_position_target"
    control_hz: ClassVar[float] = 15.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {
        "primary": "image",
        "wrist": "finger_vision_1",
        "wrist_2": "finger_vision_2",
    }
    bgr: ClassVar[frozenset[str]] = frozenset({"primary", "wrist", "wrist_2"})
    doubt: ClassVar[str] = "pictures are read as BGR"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 6, "action": 8}

    def convert(self, steps: Steps) -> Motion:
        """Leave out the quaternion that says nothing."""
        action = steps["action"]
        return Motion(
            state=None,
            action=columns(action[:, :3], np.clip(action[:, 7], 0.0, 1.0)),
            raw_state=untouched(steps["observation"]["state"]),
            raw_action=untouched(action),
            state_encoding="none",
            action_encoding="eef_pose",
        )

    def is_absent(self, slot: str, images: Sequence[bytes]) -> bool:
        """Take a black first image for a camera that was not recorded."""
        return super().is_absent(slot, images) or (slot != "primary" and jpeg.is_black(images[0]))
