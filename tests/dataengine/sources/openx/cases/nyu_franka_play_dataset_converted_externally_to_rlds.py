import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, TEAL, T, instructed, numbers, patch


def case() -> Case:
    state, action = numbers(13), numbers(15)
    action[:, 13] = [1, 1, -1, -1, -1, 1]
    seen = {
        "depth": np.ones((T, 4, 4, 1), np.int32),
        "image": patch(ORANGE),
        "image_additional_view": patch(TEAL),
        "state": state,
    }
    return Case(
        steps=instructed("play with the kitchen", seen, action),
        embodiment="franka_no_gripper_state",
        layout="eef_pose 6 eef_delta 7",
        control_hz=3,
        cameras={"primary": ORANGE, "secondary": TEAL},
        state=(state[:, 7:],),
        action=(action[:, 7:13], [1, 1, 0, 0, 0, 1]),
        raw_state=("observation/state",),
        raw_action=("action",),
        is_certain=True,
    )
