"""ASU TableTop (`asu_table_top_converted_externally_to_rlds` 0.1.0): a UR5 that picks, places and turns, 12.5 Hz.

ground_truth_states/EE  (t, 6)  x y z roll pitch yaw                     -> state[:, :6]
observation/state       (t, 7)  six joints, gripper's position           -> state[:, 6]
action                  (t, 7)  velocities of six joints, of the gripper -> action, as it is

The catalog calls the action joint and gripper velocities (it counts ten of them where seven are stored); loaders
label the same numbers as a motion of the gripper's tip. Units and the gripper's sense are not published. Joints,
their speeds and `action_delta` are kept raw; the poses of the objects on the table are left out. One camera of
224x224.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class AsuTableTopConvertedExternallyToRlds(RldsSource):
    """Table-top tasks told in language, one camera."""

    name: ClassVar[str] = "openx/asu_table_top_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "ur5_joint_velocity"
    unknown_units: ClassVar[tuple[str, ...]] = ("action",)
    control_hz: ClassVar[float] = 12.5
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "meaning of the action; sense of the gripper"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/state": 7,
        "observation/state_vel": 7,
        "ground_truth_states/EE": 6,
        "action": 7,
        "action_delta": 7,
    }

    def convert(self, steps: Steps) -> Motion:
        """Join the pose of the tip and the gripper."""
        tip, joints = steps["ground_truth_states"]["EE"], steps["observation"]["state"]
        return Motion(
            state=columns(tip, joints[:, 6]),
            action=columns(steps["action"]),
            raw_state=untouched(self.raw(steps, "observation"), tip),
            raw_action=self.raw(steps, "action"),
            action_encoding="joint_velocity",
        )
