import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, UNIT, T, instructed, numbers, patch
from tests.support.openx_writer import Stored


def case() -> Case:
    state = numbers(7)
    state[:, 6] = 0.9 * UNIT
    action = np.hstack([state + 0.01, np.zeros((T, 1), np.float32)]).astype(np.float32)
    return Case(
        steps=instructed("open the fridge", {"image": Stored(patch(ORANGE), "png"), "state": state}, action),
        embodiment="pr2_eef_target",
        layout="eef_pose 7 eef_pose 7",
        control_hz=10,
        cameras={"primary": ORANGE},
        state=(state,),
        action=(action[:, :7],),
        raw_state=("observation/state",),
        raw_action=("action",),
        notes={"action_reads_as": "pose"},
    )
