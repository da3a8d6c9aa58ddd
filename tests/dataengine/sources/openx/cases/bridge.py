import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, motion, numbers, patch, rtx


def case() -> Case:
    state, opened = numbers(7), np.array([True, False, False, True, True, False])
    state[:, 3:6] *= 0.1
    state[3:, 5] += 2 * np.pi  # a yaw that was written a turn further
    steps = rtx("stir", {"image": patch(ORANGE), "state": state}, {**motion(), "open_gripper": opened})
    moved = np.diff(state[1:, :6], axis=0)
    moved[1, 5] -= 2 * np.pi
    kept = state[1:-1]
    return Case(
        steps=steps,
        embodiment="widowx",
        layout="eef_pose 7 eef_delta 7",
        control_hz=5,
        cameras={"primary": ORANGE},
        state=(kept[:, :6], np.clip(kept[:, 6], 0, 1)),
        action=(moved, opened[1:-1]),
        raw_state=("observation/state",),
        raw_action=("action/world_vector", "action/rotation_delta", "action/open_gripper", "action/terminate_episode"),
        rows=slice(1, -1),
        is_certain=True,
    )
