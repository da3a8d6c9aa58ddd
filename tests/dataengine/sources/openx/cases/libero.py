import numpy as np
from scipy.spatial.transform import Rotation

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, TEAL, T, numbers, patch, rpy, turns


def case() -> Case:
    state, action, rotation = numbers(8), numbers(7), turns()
    state[:, 3:6] = rotation.as_rotvec()
    state[:, 6:] = np.linspace(0.04, 0.015, T)[:, None] * [1, -1]
    action[:, 6] = [-1, -1, -1, 1, 1, 1]
    seen = {"image": patch(ORANGE), "wrist_image": patch(TEAL), "state": state, "joint_state": numbers(7)}
    return Case(
        steps={"action": action, "language_instruction": "open the middle drawer", "observation": seen},
        published_as="libero_goal_no_noops",
        embodiment="franka",
        layout="eef_pose 7 eef_delta 7",
        control_hz=20,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(state[:, :3], rpy(rotation), 1 - 0.125 * np.arange(T)),
        action=(action[:, :3] * 0.05, rpy(Rotation.from_rotvec(action[:, 3:6] * 0.5)), [1, 1, 1, 0, 0, 0]),
        raw_state=("observation/state",),
        raw_action=("action",),
        is_certain=True,
    )
