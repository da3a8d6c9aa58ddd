import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, UNIT, T, beside, instructed, numbers, patch, rpy, turns
from tests.support.openx_writer import Stored


def case() -> Case:
    state, rotation = numbers(8), turns()
    action = beside(numbers(3), rotation.as_quat(), UNIT, np.arange(T) == T - 1)
    action[-1, 3:7] = 0
    turn = rpy(rotation)
    turn[-1] = 0
    return Case(
        steps=instructed("do it", {"image": Stored(patch(ORANGE), "png"), "state": state}, action),
        embodiment="franka_joint_state",
        layout="joint_position 8 eef_delta 7",
        control_hz=5,
        cameras={"primary": ORANGE},
        state=(state,),
        action=(action[:, :3], turn, UNIT),
        raw_state=("observation/state",),
        raw_action=("action",),
    )
