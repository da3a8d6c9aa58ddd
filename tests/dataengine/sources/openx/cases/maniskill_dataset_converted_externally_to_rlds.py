import numpy as np
from scipy.spatial.transform import Rotation

from tests.support.openx_case import Case
from tests.support.openx_values import CLOSES, CLOSING_M, ORANGE, SHUT, TEAL, T, instructed, numbers, patch, rpy, turns
from tests.support.openx_writer import Stored


def case() -> Case:
    position, rotation, base, standing, action = numbers(3), turns(), numbers(3), turns(), numbers(7)
    action[:, 6] = -CLOSES
    in_world = np.hstack([standing.apply(position) + base, (standing * rotation).as_quat()[:, [3, 0, 1, 2]]])
    state = numbers(18)
    state[:, 7:9] = CLOSING_M[:, None] / 2
    seen = {
        "base_pose": np.hstack([base, standing.as_quat()[:, [3, 0, 1, 2]]]).astype(np.float32),
        "depth": Stored(np.zeros((T, 4, 4, 1), np.uint16), "png"),
        "image": patch(ORANGE),
        "main_camera_intrinsic_cv": numbers(3, 3),
        "state": state,
        "target_object_or_part_final_pose": numbers(7),
        "target_object_or_part_final_pose_valid": np.ones((T, 7), np.uint8),
        "target_object_or_part_initial_pose": numbers(7),
        "tcp_pose": in_world.astype(np.float32),
        "wrist_image": patch(TEAL),
    }
    turn = Rotation.from_rotvec(action[:, 3:6] * 0.1).as_euler("xyz")
    return Case(
        steps=instructed("lift the cube", seen, action),
        embodiment="franka",
        layout="eef_pose 7 eef_delta 7",
        control_hz=20,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(position, rpy(rotation), CLOSING_M / 0.08),
        action=(action[:, :3] * 0.1, turn, SHUT),
        raw_state=(
            "observation/tcp_pose",
            "observation/base_pose",
            "observation/state",
            "observation/target_object_or_part_initial_pose",
            "observation/target_object_or_part_final_pose",
        ),
        raw_action=("action",),
        is_certain=True,
    )
