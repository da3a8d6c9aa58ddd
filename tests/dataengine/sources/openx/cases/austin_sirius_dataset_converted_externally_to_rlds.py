import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import (
    CLOSES,
    CLOSING_M,
    ORANGE,
    SHUT,
    TEAL,
    T,
    instructed,
    numbers,
    patch,
    poses,
    rpy,
    turns,
)


def case(*, by_column: bool = True) -> Case:
    position, rotation, action = numbers(3), turns(), numbers(7)
    action[:, 6] = CLOSES
    seen = {
        "image": patch(ORANGE),
        "wrist_image": patch(TEAL),
        "state": numbers(8),
        "state_ee": poses(position, rotation, by_column=by_column).reshape(T, 16),
        "state_gripper": CLOSING_M[:, None] - 0.003,
        "state_joint": numbers(7),
    }
    modes = {"action_mode": np.ones((T, 1), np.float32), "intv_label": np.full((T, 1), -10, np.float32)}
    return Case(
        steps=instructed("do it", seen, action, **modes),
        embodiment="franka_unscaled",
        layout="eef_pose 7 eef_delta 7",
        control_hz=20,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(position, rpy(rotation), (CLOSING_M - 0.003) / 0.077),
        action=(action[:, :6], SHUT),
        raw_state=("observation/state_ee", "observation/state_gripper", "observation/state_joint"),
        raw_action=("action", "action_mode", "intv_label"),
        notes={"gripper_polarity": "+1 closes (by the width)"},
    )
