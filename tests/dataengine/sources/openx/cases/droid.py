import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, TEAL, T, numbers, patch


def case(result: str = "success", **texts: str) -> Case:
    def wide(n: int) -> np.ndarray:
        return numbers(n).astype(np.float64)

    velocity, pose, closed = wide(6) * 0.05, wide(6), np.linspace(0, 1, T)[:, None]
    velocity[0] = [3, 0, 4, 0, 0, 2]
    asked = velocity * [*[0.075] * 3, *[0.15] * 3]
    asked[0] = [0.045, 0, 0.06, 0, 0, 0.15]  # longer than 1: shortened
    action = {
        "cartesian_position": wide(6),
        "cartesian_velocity": velocity,
        "gripper_position": closed[::-1].copy(),
        "gripper_velocity": wide(1),
        "joint_position": wide(7),
        "joint_velocity": wide(7),
    }
    seen = {
        "cartesian_position": pose,
        "exterior_image_1_left": patch(ORANGE),
        "exterior_image_2_left": patch(TEAL),
        "gripper_position": closed,
        "joint_position": wide(7),
        "wrist_image_left": patch(TEAL),
    }
    said = {"language_instruction": "put the marker in the cup", **texts}
    file = f"gs://lab/{result}/2023-07-07/trajectory.h5"
    return Case(
        steps={"action": wide(7), "action_dict": action, **said, "observation": seen},
        beside={"episode_metadata": {"file_path": file, "recording_folderpath": ""}},
        embodiment="franka",
        layout="eef_pose 7 eef_delta 7",
        control_hz=15,
        cameras={"primary": ORANGE, "secondary": TEAL, "wrist": TEAL},
        state=(pose, 1 - closed),
        action=(asked, closed),
        raw_state=(
            "observation/cartesian_position",
            "observation/gripper_position",
            "observation/joint_position",
        ),
        raw_action=(
            "action_dict/cartesian_velocity",
            "action_dict/cartesian_position",
            "action_dict/gripper_position",
            "action_dict/gripper_velocity",
            "action_dict/joint_position",
            "action_dict/joint_velocity",
        ),
        is_certain=True,
        notes={"outcome": result},
    )
