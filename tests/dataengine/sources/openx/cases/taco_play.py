import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import CLOSES, CLOSING_M, ORANGE, SHUT, TEAL, T, numbers, patch


def case(command: np.ndarray = CLOSES, width_m: np.ndarray = CLOSING_M) -> Case:
    relative, state = numbers(7), numbers(15)
    relative[:, 6], state[:, 6] = command, width_m
    action = {
        "actions": numbers(7),
        "rel_actions_gripper": numbers(7),
        "rel_actions_world": relative,
        "terminate_episode": np.zeros(T, np.float32),
    }
    seen = {
        "depth_static": numbers(4, 4),
        "natural_language_instruction": "open the drawer",
        "structured_language_instruction": "open_drawer",
        "rgb_gripper": patch(TEAL, (84, 84)),
        "rgb_static": patch(ORANGE),
        "robot_obs": state,
    }
    yaw_pitch_roll = [0, 1, 2, 5, 4, 3]
    return Case(
        steps={"action": action, "observation": seen},
        embodiment="franka_unscaled",
        layout="eef_pose 7 eef_delta 7",
        control_hz=15,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(state[:, yaw_pitch_roll], width_m / 0.08),
        action=(relative[:, yaw_pitch_roll], SHUT),
        raw_state=("observation/robot_obs",),
        raw_action=(
            "action/rel_actions_world",
            "action/actions",
            "action/rel_actions_gripper",
            "action/terminate_episode",
        ),
        notes={"gripper_polarity": "+1 closes (by the width)"},
    )
