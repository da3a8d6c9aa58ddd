import numpy as np
from scipy.spatial.transform import Rotation

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, T, numbers, patch, rpy


def case() -> Case:
    axis_angle, turn, move = numbers(3), numbers(30) * 0.1, numbers(30)
    closed = np.linspace(0.2, 1, T, dtype=np.float32)[:, None]
    action = {
        "future/axis_angle_residual": turn,
        "future/target_close": np.tile((np.arange(T) > 2)[:, None], 10).astype(np.int64),
        "future/xyz_residual": move,
    }
    seen = {
        "episode_success": np.zeros(T, np.float32),
        "image": patch(ORANGE),
        "natural_language_instruction": "place the bottle in the tray",
        "present/autonomous": np.ones(T, np.int64),
        "present/axis_angle": axis_angle,
        "present/intervention": np.zeros(T, np.int64),
        "present/sensed_close": closed,
        "present/xyz": numbers(3),
        "sequence_length": np.full(T, T),
    }
    now = Rotation.from_rotvec(axis_angle)
    target = Rotation.from_rotvec(axis_angle + turn[:, :3])  # of ten actions the first
    return Case(
        steps={"action": action, "observation": seen},
        embodiment="google_robot",
        layout="eef_pose 7 eef_delta 7",
        control_hz=10,
        cameras={"primary": ORANGE},
        state=(seen["present/xyz"], rpy(now), 1 - closed),
        action=(move[:, :3], rpy(target * now.inv()), [1, 1, 1, 0, 0, 0]),
        raw_state=("observation/present/xyz", "observation/present/axis_angle", "observation/present/sensed_close"),
        raw_action=(
            "action/future/xyz_residual",
            "action/future/axis_angle_residual",
            "action/future/target_close",
            "observation/present/autonomous",
        ),
        is_certain=True,
        notes={"outcome": "failure"},
    )
