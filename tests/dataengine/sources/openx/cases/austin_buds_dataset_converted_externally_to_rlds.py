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


def case() -> Case:
    action, position, rotation, joints = numbers(7), numbers(3), turns(), numbers(7)
    action[:, 6] = CLOSES
    state = np.hstack([joints, CLOSING_M[:, None], poses(position, rotation, by_column=True).reshape(T, 16)])
    seen = {"image": patch(ORANGE), "wrist_image": patch(TEAL), "state": state}
    return Case(
        steps=instructed("hammer", seen, action),
        embodiment="franka_unscaled",
        layout="eef_pose 7 eef_delta 7",
        control_hz=20,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(position, rpy(rotation), CLOSING_M / 0.08),
        action=(action[:, :6], SHUT),
        raw_state=("observation/state",),
        raw_action=("action",),
        notes={"gripper_polarity": "+1 closes (by the width)"},
    )
