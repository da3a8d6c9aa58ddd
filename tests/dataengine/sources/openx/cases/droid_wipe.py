import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, TEAL, UNIT, angles, numbers, patch


def case() -> Case:
    pose, speed, closing = numbers(6), angles(6), UNIT[::-1].copy()
    speed[0, :3] = [3, 0, 4]
    shortened = np.hstack([v / np.maximum(1, np.linalg.norm(v, axis=1))[:, None] for v in (speed[:, :3], speed[:, 3:])])
    seen = {
        "cartesian_position": pose.astype(np.float64),
        "exterior_image_2_left": patch(ORANGE),
        "gripper_position": UNIT[:, None].astype(np.float64),
        "wrist_image_left": patch(TEAL),
    }
    asked = {"cartesian_velocity": speed.astype(np.float64), "gripper_position": closing[:, None].astype(np.float64)}
    return Case(
        steps={"observation": seen, "action_dict": asked, "language_instruction": "do it"},
        embodiment="franka",
        layout="eef_pose 7 eef_delta 7",
        control_hz=15,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(pose, 1 - UNIT),
        action=(shortened * [0.075, 0.075, 0.075, 0.15, 0.15, 0.15], 1 - closing),
        raw_state=("observation/cartesian_position", "observation/gripper_position"),
        raw_action=("action_dict/cartesian_velocity", "action_dict/gripper_position"),
        is_certain=True,
    )
