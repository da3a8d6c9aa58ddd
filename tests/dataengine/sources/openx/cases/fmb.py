import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, TEAL, numbers, patch, quaternions, rpy, turns


def case() -> Case:
    position, rotation, action = numbers(3), turns(), numbers(7)
    action[:, 6] = [0, 0, 1, 1, 1, 0]
    cameras = ("image_side_1", "image_side_2", "image_wrist_1", "image_wrist_2")
    seen = {
        **{key: patch(ORANGE[::-1] if "side" in key else TEAL[::-1]) for key in cameras},
        **{f"{key}_depth": numbers(4, 4) for key in cameras},
        "eef_force": numbers(3),
        "eef_pose": np.hstack([position, quaternions(rotation)]),
        "eef_torque": numbers(3),
        "eef_vel": numbers(6),
        "joint_pos": numbers(7),
        "joint_vel": numbers(7),
        "primitive": "grasp",
        "state_gripper_pose": np.array([0, 0, 0, 1, 1, 0], np.float32),
    }
    whole = "Pick up the peg and insert it."
    parts = ["Pick up the peg."] * 3 + ["Insert the peg."] * 3
    return Case(
        steps={"action": action, "language_instruction": parts, "observation": seen},
        beside={
            "episode_metadata": {"episode_language_instruction": "Pick up the peg and insert it.", "file_path": ""}
        },
        embodiment="franka",
        layout="eef_pose 7 eef_delta 7",
        control_hz=10,
        cameras={"primary": ORANGE, "secondary": ORANGE, "wrist": TEAL, "wrist_2": TEAL},
        instruction=[whole, "Pick up the peg.", "Insert the peg."],
        state=(position, rpy(rotation), [1, 1, 1, 0, 0, 1]),
        action=(action[:, :6], [1, 1, 0, 0, 0, 1]),
        raw_state=(
            "observation/eef_pose",
            "observation/state_gripper_pose",
            "observation/joint_pos",
            "observation/joint_vel",
            "observation/eef_vel",
            "observation/eef_force",
            "observation/eef_torque",
        ),
        raw_action=("action",),
    )
