"""NYU Franka Play (From Play to Policy): a Franka in toy kitchens, played with by teleoperation, 3 Hz.

observation/state  (t, 13)  seven joints, x y z in metres, roll pitch yaw in radians  -> state [x y z roll pitch yaw]
action             (t, 15)  seven joint speeds, motion in metres, roll pitch yaw in radians,
                            the gripper's target -1 closed, +1 open, 1 ends the episode
                            -> action [x y z, roll pitch yaw, 0 closed to 1 open]

The state lacks the gripper, so it has six numbers, where loaders pad. `image` looks from the right, the additional
view from the left. Depth (int32) is left out. Every episode is told to "play with the kitchen". Images are 128x128.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class NyuFrankaPlayDatasetConvertedExternallyToRlds(RldsSource):
    """Unstructured play with toy kitchens, two static cameras."""

    name: ClassVar[str] = "openx/nyu_franka_play_dataset_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "franka_no_gripper_state"
    control_hz: ClassVar[float] = 3.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "secondary": "image_additional_view"}
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 13, "action": 15}

    def convert(self, steps: Steps) -> Motion:
        """Take the pose and its change out of longer vectors."""
        state, action = steps["observation"]["state"], steps["action"]
        return Motion(
            state=columns(state[:, 7:13]),
            action=columns(action[:, 7:13], conventions.open_from_opening(action[:, 13])),
            raw_state=untouched(state),
            raw_action=untouched(action),
        )
