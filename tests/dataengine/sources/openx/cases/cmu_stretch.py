import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, TEAL, T, instructed, numbers, patch


def case() -> Case:
    state, action = numbers(4), numbers(8)
    state[:, 3], action[:, 6] = np.linspace(0, 1, T), [0, 0, 1, 1, 0, 0]
    return Case(
        steps=instructed("do it", {"image": patch(ORANGE), "wrist_image": patch(TEAL), "state": state}, action),
        embodiment="hello_stretch_no_turn_state_eef_target",
        layout="eef_pose 4 eef_pose 7",
        control_hz=10,
        cameras={"primary": ORANGE},
        state=(state,),
        action=(action[:, :7],),
        raw_state=("observation/state",),
        raw_action=("action",),
    )
