from tests.support.openx_case import Case
from tests.support.openx_values import FLAGS, ORANGE, motion, numbers, patch, rtx


def case() -> Case:
    asked, joints, opened = motion(), numbers(7), FLAGS.astype(bool)
    steps = rtx("scoop", {"image": patch(ORANGE), "state": joints}, {**asked, "open_gripper": opened})
    return Case(
        steps=steps,
        embodiment="franka_joint_state_no_gripper_eef_target",
        layout="joint_position 7 eef_pose 7",
        control_hz=30,
        cameras={"primary": ORANGE},
        state=(joints,),
        action=(*asked.values(), opened),
        raw_state=("observation/state",),
        raw_action=("action/world_vector", "action/rotation_delta", "action/open_gripper", "action/terminate_episode"),
    )
