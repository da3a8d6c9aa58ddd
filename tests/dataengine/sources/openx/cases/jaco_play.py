import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, REACHED, RELATIVE, TEAL, ZERO, T, numbers, patch, quaternions, rpy, turns


def case() -> Case:
    joints, position, rotation, move = numbers(8), numbers(3), turns(), numbers(3)
    joints[:, 6:] = np.radians(np.linspace(0, 80, T))[:, None]
    action = {
        "gripper_closedness_action": RELATIVE[:, None],
        "terminate_episode": np.zeros((T, 3), np.int32),
        "world_vector": move,
    }
    seen = {
        "end_effector_cartesian_pos": np.hstack([position, quaternions(rotation)]),  # loaders see angles and a gripper
        "end_effector_cartesian_velocity": numbers(6),
        "image": patch(ORANGE),
        "image_wrist": patch(TEAL),
        "joint_pos": joints,
        "natural_language_instruction": "pick up the cup",
    }
    return Case(
        steps={"action": action, "observation": seen},
        embodiment="jaco_unscaled",
        layout="eef_pose 7 eef_delta 7",
        control_hz=10,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(position, rpy(rotation), np.linspace(1, 0, T)),
        action=(move, ZERO, REACHED),
        raw_state=(
            "observation/end_effector_cartesian_pos",
            "observation/joint_pos",
            "observation/end_effector_cartesian_velocity",
        ),
        raw_action=("action/world_vector", "action/gripper_closedness_action", "action/terminate_episode"),
    )
