import numpy as np
from scipy.spatial.transform import Rotation

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, TEAL, UNIT, T, angles, beside, instructed, numbers, patch, rpy


def case() -> Case:
    action = beside(numbers(3), angles(), UNIT, np.arange(T) == T - 1)
    turn = rpy(Rotation.from_euler("ZYX", action[:, 3:6]))
    np.testing.assert_allclose(turn, action[:, [5, 4, 3]], atol=1e-5)  # about moving axes: the order reversed
    seen = {"image": patch(TEAL), "wrist_image": patch(ORANGE), "state": UNIT[:, None]}
    return Case(
        steps=instructed("do it", seen, action),
        embodiment="sawyer_no_state_eef_frame",
        layout="none 0 eef_delta 7",
        control_hz=10,
        cameras={"primary": ORANGE},
        action=(action[:, :3], turn, UNIT),
        raw_state=("observation/state",),
        raw_action=("action",),
    )
