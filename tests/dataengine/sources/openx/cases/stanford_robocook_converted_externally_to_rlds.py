import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import NEXT, ORANGE, TEAL, UNIT, T, beside, instructed, numbers, patch


def case() -> Case:
    width_m = 0.08 * UNIT
    state, action = beside(numbers(6), width_m), beside(numbers(6), np.diff(width_m, append=width_m[-1:]))
    seen = {f"image_{k}": patch(ORANGE if k == 1 else TEAL) for k in range(1, 5)}
    seen |= {f"depth_{k}": np.zeros((T, 8, 8), np.float32) for k in range(1, 5)}
    return Case(
        steps=instructed("do it", {**seen, "state": state}, action),
        embodiment="franka",
        layout="eef_pose 7 eef_delta 7",
        control_hz=5,
        cameras={"primary": ORANGE, "secondary": TEAL},
        state=(state[:, :6], UNIT),
        action=(action[:, :6], NEXT),
        raw_state=("observation/state",),
        raw_action=("action",),
        is_certain=True,
    )
