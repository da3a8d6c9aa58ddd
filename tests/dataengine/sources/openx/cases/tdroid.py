from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, UNIT, beside, numbers, patch


def case() -> Case:
    pose, action = numbers(6), beside(numbers(6), [1.0, 0.5, 0.0, 0.3, 0.99, 1.0])
    seen = {"static_image": patch(ORANGE), "cartesian_position": pose, "gripper_position": UNIT[:, None]}
    return Case(
        steps={"observation": seen, "action": action, "language_instruction": "do it"},
        published_as="tdroid_carrot_in_bowl",
        embodiment="franka_unscaled",
        layout="eef_pose 7 eef_delta 7",
        control_hz=5,
        cameras={"primary": ORANGE},
        state=(pose, UNIT),
        action=(action[:, :6], [1, 0, 0, 1, 1, 1]),
        raw_state=("observation/cartesian_position", "observation/gripper_position"),
        raw_action=("action",),
    )
