import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, TEAL, T, instructed, numbers, patch


def case() -> Case:
    state, action = numbers(27), numbers(7)
    state[:, 24], action[:, 6] = np.linspace(0.08, 0, T), np.linspace(0, 1, T)
    seen = {"image": patch(ORANGE[::-1]), "wrist_image": patch(TEAL[::-1]), "state": state}
    return Case(
        steps=instructed("do it", seen, action, is_dense=np.arange(T) > 2),
        embodiment="franka",
        layout="eef_pose 7 eef_delta 7",
        control_hz=10,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(state[:, :3], state[:, 7:10], np.linspace(1, 0, T)),
        action=(action[:, :6], np.linspace(1, 0, T)),
        raw_state=("observation/state",),
        raw_action=("action", "is_dense"),
    )
