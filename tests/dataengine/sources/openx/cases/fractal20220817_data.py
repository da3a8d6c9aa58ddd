import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import (
    ORANGE,
    REACHED,
    RELATIVE,
    UNIT,
    T,
    motion,
    numbers,
    patch,
    quaternions,
    rpy,
    turns,
)


def case() -> Case:
    position, rotation, asked = numbers(3), turns(), motion()
    action = {
        "base_displacement_vector": np.zeros((T, 2), np.float32),
        "base_displacement_vertical_rotation": np.zeros((T, 1), np.float32),
        "gripper_closedness_action": RELATIVE[:, None],
        "terminate_episode": np.eye(3, dtype=np.int32)[[2] * (T - 1) + [0]],
        **asked,
    }
    seen = {
        "base_pose_tool_reached": np.hstack([position, quaternions(rotation)]),
        "gripper_closed": UNIT[:, None],
        "gripper_closedness_commanded": numbers(1),
        "height_to_bottom": numbers(1),
        "image": patch(ORANGE, (256, 320)),
        "natural_language_embedding": numbers(512),
        "natural_language_instruction": "pick coke can",
        "orientation_box": numbers(2, 3),
        "orientation_start": numbers(4),
        "robot_orientation_positions_box": numbers(3, 3),
        "rotation_delta_to_go": numbers(3),
        "src_rotation": numbers(4),
        "vector_to_go": numbers(3),
        "workspace_bounds": numbers(3, 3),
    }
    aspects = dict.fromkeys(("already_success", "feasible", "success", "undesirable"), False)
    return Case(
        steps={"action": action, "observation": seen},
        beside={
            "aspects": {"has_aspects": True, **aspects},
            "attributes": {"collection_mode": 1, "collection_mode_name": "teleop", "env": 2},
        },
        embodiment="google_robot",
        layout="eef_pose 7 eef_delta 7",
        control_hz=3,
        cameras={"primary": ORANGE},
        state=(position, rpy(rotation), 1 - UNIT),
        action=(*asked.values(), REACHED),
        raw_state=("observation/base_pose_tool_reached", "observation/gripper_closed"),
        raw_action=(
            "action/world_vector",
            "action/rotation_delta",
            "action/gripper_closedness_action",
            "action/base_displacement_vector",
            "action/base_displacement_vertical_rotation",
            "action/terminate_episode",
        ),
    )
