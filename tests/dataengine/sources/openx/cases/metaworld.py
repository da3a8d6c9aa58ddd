import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import CLOSES, ORANGE, SHUT, UNIT, ZERO, numbers, patch


def case() -> Case:
    hand, move, opening = numbers(3), numbers(3), UNIT[:, None] * np.float32(1.2)
    action = {"world_vector": move, "gripper_closedness_action": CLOSES[:, None]}
    seen = {
        "gripper_opening": opening,
        "hand_pos": hand,
        "image": patch(ORANGE),
        "natural_language_instruction": "press the button",
    }
    return Case(
        steps={"action": action, "observation": seen},
        beside={"episode_metadata": {"task": "button-press-topdown", "seed": 0, "success": True}},
        embodiment="sawyer",
        layout="eef_pose 7 eef_delta 7",
        control_hz=20,
        cameras={"primary": ORANGE},
        state=(hand, ZERO, np.clip(opening, 0, 1)),
        action=(move * 0.04, ZERO, SHUT),
        raw_state=("observation/hand_pos", "observation/gripper_opening"),
        raw_action=("action/world_vector", "action/gripper_closedness_action"),
        is_certain=True,
    )
