import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, instructed, numbers, patch
from tests.support.openx_writer import Stored


def gnm(embodiment: str, control_hz: float) -> Case:
    state, wrapped = numbers(3), numbers(3)
    angle = wrapped + np.array([0, 0, 2 * np.pi], np.float32)
    wide = {"state": state, "position": state[:, :2], "yaw": state[:, 2:]}
    seen = {key: value.astype(np.float64) for key, value in wide.items()}
    target, both = angle[:, :2].astype(np.float64), angle.astype(np.float64)
    return Case(
        steps=instructed("do it", {**seen, "image": Stored(patch(ORANGE), "png")}, target, action_angle=both),
        embodiment=embodiment,
        layout="eef_pose 3 eef_delta 3",
        control_hz=control_hz,
        cameras={"primary": ORANGE},
        state=(state,),
        action=(wrapped,),
        raw_state=("observation/state", "observation/position", "observation/yaw"),
        raw_action=("action", "action_angle"),
        is_certain=True,
    )
