from tests.support.openx_case import Case
from tests.support.openx_values import OLIVE, ORANGE, PLUM, TEAL, motion, numbers, patch, rtx


def case() -> Case:
    asked, joints = motion(), numbers(7)
    images = {"image": ORANGE, "top_image": TEAL, "wrist45_image": PLUM, "wrist225_image": OLIVE}
    steps = rtx("route", {**{k: patch(c) for k, c in images.items()}, "robot_state": joints}, asked)
    return Case(
        steps=steps,
        embodiment="franka_joint_state_eef_velocity_no_gripper",
        layout="joint_position 7 eef_velocity 6",
        control_hz=10,
        cameras={"primary": ORANGE, "secondary": TEAL, "wrist": PLUM, "wrist_2": OLIVE},
        state=(joints,),
        action=tuple(asked.values()),
        raw_state=("observation/robot_state",),
        raw_action=("action/world_vector", "action/rotation_delta", "action/terminate_episode"),
    )
