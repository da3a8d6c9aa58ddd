import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, REACHED, RELATIVE, T, motion, numbers, patch, quaternions, rpy, turns
from tests.support.openx_writer import Stored


def case(*, success: bool = True) -> Case:
    asked, position, rotation = motion(), numbers(3), turns()
    closed = np.linspace(0, 1, T, dtype=np.float32)[:, None]
    action = {
        "base_displacement_vector": numbers(2),
        "base_displacement_vertical_rotation": numbers(1),
        "gripper_closedness_action": RELATIVE[:, None],
        "terminate_episode": np.zeros((T, 3), np.int32),
        **asked,
    }
    seen = {
        "clip_function_input/base_pose_tool_reached": Stored(np.hstack([position, quaternions(rotation)]), "zlib"),
        "clip_function_input/workspace_bounds": Stored(numbers(3, 3), "zlib"),
        "gripper_closed": Stored(closed, "zlib"),
        "height_to_bottom": Stored(numbers(1), "zlib"),
        "image": patch(ORANGE),
        "natural_language_instruction": "pick anything",
    }
    return Case(
        steps={"action": action, "observation": seen},
        beside={"success": success},
        embodiment="kuka_iiwa",
        layout="eef_pose 7 eef_delta 7",
        control_hz=10,
        cameras={"primary": ORANGE},
        state=(position, rpy(rotation), 1 - closed),
        action=(*asked.values(), REACHED),
        raw_state=("observation/clip_function_input/base_pose_tool_reached", "observation/gripper_closed"),
        raw_action=(
            "action/world_vector",
            "action/rotation_delta",
            "action/gripper_closedness_action",
            "action/base_displacement_vector",
            "action/base_displacement_vertical_rotation",
            "action/terminate_episode",
        ),
        is_certain=True,
        notes={"outcome": "success" if success else "failure"},
    )
