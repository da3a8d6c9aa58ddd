"""Weblab xArm (`utokyo_xarm_pick_and_place_converted_externally_to_rlds` 0.1.0): an xArm stacks plates, 10 Hz.

observation/end_effector_pose  (t, 6)  x y z, yaw pitch roll                   -> state, roll pitch yaw, no gripper
action                         (t, 7)  x y z, yaw pitch roll, gripper's position   -> action, an absolute pose

Loaders take the angles for roll, pitch and yaw and the action for a motion. It is the pose of the controller in the
teacher's hand and its trigger, by the publisher's builder; `action_reads_as` in the notes tells what the numbers look
like. The gripper's state is not recorded. Units and the sense of the trigger are not published: metres, radians and
1 for open are taken. Joints, their speeds and the planned ones stay in `raw_state`. 224x224.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.raw import untouched
from dataengine.sources.openx import _target
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

ROLL_PITCH_YAW = [5, 4, 3]
"""Where they are behind x, y and z."""


@dataclass(frozen=True)
class UtokyoXarmPickAndPlaceConvertedExternallyToRlds(RldsSource):
    """One task, two cameras beside and one in the hand."""

    name: ClassVar[str] = "openx/utokyo_xarm_pick_and_place_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "xarm_no_gripper_state_eef_target"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "secondary": "image2", "wrist": "hand_image"}
    doubt: ClassVar[str] = "action read as a pose; units; sense of the gripper"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/end_effector_pose": 6,
        "observation/joint_state": 14,
        "observation/joint_trajectory": 21,
        "action": 7,
    }

    def convert(self, steps: Steps) -> Motion:
        """Order the angles."""
        pose, action = steps["observation"]["end_effector_pose"], steps["action"]
        return Motion(
            state=columns(pose[:, :3], pose[:, ROLL_PITCH_YAW]),
            action=columns(action[:, :3], action[:, ROLL_PITCH_YAW], action[:, 6]),
            raw_state=self.raw(steps, "observation"),
            raw_action=untouched(action),
            action_encoding="eef_pose",
            notes={"action_reads_as": _target.reads_as(action[:, :3], pose[:, :3])},
        )
