from tests.support.openx_case import Case
from tests.support.openx_values import (
    ORANGE,
    REACHED,
    RELATIVE,
    TEAL,
    motion,
    numbers,
    patch,
    quaternions,
    rpy,
    rtx,
    turns,
)


def case() -> Case:
    state, rotation, asked = numbers(15), turns(), motion()
    state[:, 9:13] = quaternions(rotation)
    state[:, 13] = [0, 0, 1, 1, 0, 0]
    seen = {"hand_image": patch(TEAL[::-1]), "image": patch(ORANGE), "robot_state": state}
    return Case(
        steps=rtx("sweep the green cloth", seen, {**asked, "gripper_closedness_action": RELATIVE}),
        embodiment="ur5",
        layout="eef_pose 7 eef_delta 7",
        control_hz=5,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(state[:, 6:9], rpy(rotation), 1 - state[:, 13]),
        action=(*asked.values(), REACHED),
        raw_state=("observation/robot_state",),
        raw_action=(
            "action/world_vector",
            "action/rotation_delta",
            "action/gripper_closedness_action",
            "action/terminate_episode",
        ),
        is_certain=True,
    )
