from tests.support.openx_case import Case
from tests.support.openx_values import (
    CLOSES,
    CLOSING_M,
    ORANGE,
    SHUT,
    TEAL,
    instructed,
    numbers,
    patch,
    quaternions,
    rpy,
    turns,
)


def case() -> Case:
    state, action, rotation = numbers(8), numbers(7), turns()
    state[:, 3:7], state[:, 7], action[:, 6] = quaternions(rotation), CLOSING_M - 0.003, CLOSES
    seen = {
        "image": patch(ORANGE),
        "wrist_image": patch(TEAL),
        "state": state,
        "state_ee": numbers(16),
        "state_gripper": state[:, 7:],
        "state_joint": numbers(7),
    }
    return Case(
        steps=instructed("do it", seen, action),
        embodiment="franka_unscaled",
        layout="eef_pose 7 eef_delta 7",
        control_hz=20,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(state[:, :3], rpy(rotation), state[:, 7] / 0.077),
        action=(action[:, :6], SHUT),
        raw_state=("observation/state", "observation/state_joint", "observation/state_ee"),
        raw_action=("action",),
        notes={"gripper_polarity": "+1 closes (by the width)"},
    )
