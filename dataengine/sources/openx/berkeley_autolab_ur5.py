"""Berkeley Autolab UR5 (`berkeley_autolab_ur5` 0.1.0): a UR5 with a Robotiq gripper, teleoperated, 5 Hz.

observation/robot_state            (t, 15)  six joints, x y z in metres and quaternion xyzw from the base, 1 closed,
                                            1 while the gripper moves        -> state; joints and the flag stay raw
action/world_vector                (t, 3)   motion in metres                                      -> action[:, :3]
action/rotation_delta              (t, 3)   roll pitch yaw in radians                             -> action[:, 3:6]
action/gripper_closedness_action   (t,)     +1 closes, -1 opens, 0 holds                -> action[:, 6], integrated

Layout by the publisher's site; loaders leave the state's gripper at 1 closed, ours is turned. `hand_image` has red and
blue swapped (`image` has not); we swap it back. Depth, a float32 hidden in the four bytes of a PNG's pixels, is left
out. Images are 480x640 and are scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class BerkeleyAutolabUr5(RldsSource):
    """Cloth, cups, bottles and a stuffed tiger; one camera beside the table and one on the hand."""

    name: ClassVar[str] = "openx/berkeley_autolab_ur5"
    embodiment: ClassVar[str] = "ur5"
    control_hz: ClassVar[float] = 5.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "hand_image"}
    bgr: ClassVar[frozenset[str]] = frozenset({"wrist"})
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/robot_state": 15,
        "action/world_vector": 3,
        "action/rotation_delta": 3,
        "action/gripper_closedness_action": 1,
        "action/terminate_episode": 1,
    }

    def convert(self, steps: Steps) -> Motion:
        """Take the pose out of the state; integrate the gripper's commands."""
        state, action = steps["observation"]["robot_state"], steps["action"]
        gripper = conventions.open_from_relative(action["gripper_closedness_action"].reshape(-1))
        return Motion(
            state=columns(
                state[:, 6:9], conventions.quaternion_to_euler(state[:, 9:13]), 1.0 - np.clip(state[:, 13], 0.0, 1.0)
            ),
            action=columns(action["world_vector"], action["rotation_delta"], gripper),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action"),
        )
