import numpy as np
from scipy.spatial.transform import Rotation

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, TEAL, T, instructed, numbers, patch, rpy


def case() -> Case:
    state, action = numbers(7), numbers(7) * 0.2
    state[:, 6] = action[:, 6] = np.linspace(0, 1, T)
    angles = [rpy(Rotation.from_euler("zxy", vector[:, 3:6])) for vector in (state, action)]
    return Case(
        steps=instructed("do it", {"image": patch(ORANGE), "wrist_image": patch(TEAL), "state": state}, action),
        embodiment="edan",
        layout="eef_pose 7 eef_delta 7",
        control_hz=5,
        cameras={"primary": ORANGE},
        state=(state[:, :3], angles[0], np.linspace(1, 0, T)),
        action=(action[:, :3], angles[1], np.linspace(1, 0, T)),
        raw_state=("observation/state",),
        raw_action=("action",),
    )
