import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, SHUT, TEAL, T, beside, instructed, numbers, patch
from tests.support.openx_writer import Stored


def case() -> Case:
    identity = np.tile([1, 0, 0, 0], (T, 1))
    action = beside(numbers(3), identity, SHUT)
    seen = {
        "image": Stored(patch(TEAL[::-1]), "png"),
        "finger_vision_1": Stored(patch(ORANGE[::-1]), "png"),
        "finger_vision_2": Stored(patch((0, 0, 0)), "png"),
        "state": numbers(6),
    }
    return Case(
        steps=instructed("do it", seen, action),
        embodiment="franka_no_state_position_target",
        layout="none 0 eef_pose 4",
        control_hz=15,
        cameras={"primary": TEAL, "wrist": ORANGE},
        action=(action[:, :3], SHUT),
        raw_state=("observation/state",),
        raw_action=("action",),
    )
