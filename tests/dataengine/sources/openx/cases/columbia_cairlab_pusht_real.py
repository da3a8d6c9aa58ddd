from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, REACHED, RELATIVE, TEAL, motion, numbers, patch, rtx


def case() -> Case:
    asked, state = motion(), numbers(2)
    seen = {"image": patch(ORANGE), "wrist_image": patch(TEAL), "robot_state": state}
    return Case(
        steps=rtx("push", seen, {**asked, "gripper_closedness_action": RELATIVE}),
        embodiment="ur5_planar_state",
        layout="eef_pose 2 eef_delta 7",
        control_hz=10,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(state,),
        action=(*asked.values(), REACHED),
        raw_state=("observation/robot_state",),
        raw_action=(
            "action/world_vector",
            "action/rotation_delta",
            "action/gripper_closedness_action",
            "action/terminate_episode",
        ),
    )
