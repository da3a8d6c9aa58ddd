"""TOTO (`toto` 0.1.0): a Franka that scoops and pours, 30 Hz.

observation/state      (t, 7)  seven joints, absolute, in radians; the gripper is not recorded  -> state
action/world_vector    (t, 3)  x y z to go to, metres                                           -> action[:, :3]
action/rotation_delta  (t, 3)  three angles to go to, radians, roll pitch yaw taken             -> action[:, 3:6]
action/open_gripper    (t,)    bool, true is open                                               -> action[:, 6]

The fields are named after motions, and loaders read them so. But the publisher's readme documents actions as
absolute poses of the end effector, and `world_vector` reaches 0.7 by the RT-X training notebook, at 30 Hz. One
camera of 480x640, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class Toto(RldsSource):
    """Two tasks, one camera."""

    name: ClassVar[str] = "openx/toto"
    embodiment: ClassVar[str] = "franka_joint_state_no_gripper_eef_target"
    control_hz: ClassVar[float] = 30.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    doubt: ClassVar[str] = "action read as a pose; order of its angles"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/state": 7,
        "action/world_vector": 3,
        "action/rotation_delta": 3,
        "action/open_gripper": 1,
        "action/terminate_episode": 1,
    }

    def convert(self, steps: Steps) -> Motion:
        """Call the pose what it is."""
        action = steps["action"]
        return Motion(
            state=columns(steps["observation"]["state"]),
            action=columns(action["world_vector"], action["rotation_delta"], action["open_gripper"]),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action"),
            state_encoding="joint_position",
            action_encoding="eef_pose",
        )
