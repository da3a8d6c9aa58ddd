from tests.support.openx_case import Case
from tests.support.openx_values import (
    CLOSES,
    CLOSING_M,
    ORANGE,
    SHUT,
    TEAL,
    T,
    motion,
    numbers,
    patch,
    poses,
    rpy,
    rtx,
    turns,
)


def case() -> Case:
    asked, position, rotation = motion(), numbers(3), turns()
    seen = {
        "agentview_rgb": patch(ORANGE),
        "eye_in_hand_rgb": patch(TEAL),
        "ee_states": poses(position, rotation, by_column=True).reshape(T, 16),
        "gripper_states": CLOSING_M[:, None],
        "joint_states": numbers(7),
    }
    return Case(
        steps=rtx("make coffee", seen, {**asked, "gripper_closedness_action": CLOSES}),
        embodiment="franka_unscaled",
        layout="eef_pose 7 eef_delta 7",
        control_hz=20,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(position, rpy(rotation), CLOSING_M / 0.08),
        action=(*asked.values(), SHUT),
        raw_state=("observation/ee_states", "observation/gripper_states", "observation/joint_states"),
        raw_action=(
            "action/world_vector",
            "action/rotation_delta",
            "action/gripper_closedness_action",
            "action/terminate_episode",
        ),
        notes={"gripper_polarity": "+1 closes (by the width)"},
    )
