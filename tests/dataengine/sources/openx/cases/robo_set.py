from tests.support.openx_case import Case
from tests.support.openx_values import CLOSES, OLIVE, ORANGE, PLUM, SHUT, TEAL, beside, numbers, patch


def case() -> Case:
    state, action = numbers(8), beside(numbers(7), CLOSES)
    views = {"image_left": ORANGE, "image_right": TEAL, "image_top": OLIVE, "image_wrist": PLUM}
    seen = {**{key: patch(colour) for key, colour in views.items()}, "state": state, "state_velocity": numbers(8)}
    return Case(
        steps={"observation": seen, "action": action, "language_instruction": "do it"},
        embodiment="franka_joint",
        layout="joint_position 8 joint_position 8",
        control_hz=5,
        cameras={"primary": ORANGE, "secondary": TEAL, "wrist": PLUM},
        state=(state,),
        action=(action[:, :7], SHUT),
        raw_state=("observation/state", "observation/state_velocity"),
        raw_action=("action",),
    )
