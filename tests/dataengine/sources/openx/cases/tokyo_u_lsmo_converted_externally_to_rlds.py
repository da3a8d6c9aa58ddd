import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, UNIT, beside, instructed, numbers, patch
from tests.support.openx_writer import Stored


def case() -> Case:
    state, action = numbers(13), beside(0.01 * numbers(6), UNIT)
    state[:, 12] = UNIT
    wrapped = action.copy()
    action[2, 5] -= 2 * np.pi
    return Case(
        steps=instructed("do it", {"image": Stored(patch(ORANGE), "png"), "state": state}, action),
        embodiment="cobotta",
        layout="eef_pose 7 eef_delta 7",
        control_hz=10,
        cameras={"primary": ORANGE},
        state=(state[:, [0, 1, 2, 3, 4, 5, 12]],),
        action=(wrapped,),
        raw_state=("observation/state",),
        raw_action=("action",),
    )
