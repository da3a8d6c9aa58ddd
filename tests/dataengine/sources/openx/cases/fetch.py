from tests.support.openx_case import Case
from tests.support.openx_values import CLOSES, ORANGE, SHUT, TEAL, ZERO, numbers, patch


def case() -> Case:
    state, action = numbers(8), numbers(4)
    state[:, 3:5] = [[0.05, 0.05]] * 2 + [[0.0, 0.02]] * 4
    action[:, 3] = -CLOSES
    seen = {"image": patch(ORANGE), "wrist_image": patch(TEAL), "state": state}
    return Case(
        steps={"action": action, "language_instruction": "push the cube", "observation": seen},
        beside={"episode_metadata": {"task": "push", "seed": 0, "success": True, "file_path": ""}},
        published_as="fetch_mujoco",
        embodiment="fetch",
        layout="eef_pose 7 eef_delta 7",
        control_hz=25,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(state[:, :3], ZERO, [1, 1, 0.2, 0.2, 0.2, 0.2]),
        action=(action[:, :3] * 0.05, ZERO, SHUT),
        raw_state=("observation/state",),
        raw_action=("action",),
        is_certain=True,
    )
