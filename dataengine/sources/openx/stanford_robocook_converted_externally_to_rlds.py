"""RoboCook (`stanford_robocook_converted_externally_to_rlds` 0.1.0): a Franka that makes dumplings with tools, 5 Hz.

observation/state  (t, 7)  x y z, Euler angles, gripper's position            -> state
action             (t, 7)  velocity of the tip, its turning, of the gripper   -> action, all of it velocity

The gripper's column of the action is a velocity too: it is kept, and the embodiment says so. Loaders read the action
as a motion. Units, the order of the angles and the gripper's range are not published: metres, roll pitch yaw and
seconds are taken. Cameras 1 and 2 of four; the depth of all and their extrinsics are left out. 256x256.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class StanfordRobocookConvertedExternallyToRlds(RldsSource):
    """Soft dough and many tools, two of its four cameras."""

    name: ClassVar[str] = "openx/stanford_robocook_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "franka_eef_and_gripper_velocity"
    control_hz: ClassVar[float] = 5.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image_1", "secondary": "image_2"}
    doubt: ClassVar[str] = "units of the action; order of the angles; range of the gripper"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 7, "action": 7}

    def convert(self, steps: Steps) -> Motion:
        """Keep the numbers as they are documented."""
        state, action = columns(steps["observation"]["state"]), columns(steps["action"])
        return Motion(state=state, action=action, raw_state=state, raw_action=action, action_encoding="eef_velocity")
