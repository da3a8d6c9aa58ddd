from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, PLUM, TEAL, numbers, patch


def case() -> Case:
    state, action = numbers(14), numbers(14)
    seen = {"cam_high": patch(ORANGE), "cam_low": patch(TEAL), "cam_right_wrist": patch(PLUM), "state": state}
    return Case(
        steps={"observation": seen, "action": action, "language_instruction": "do it"},
        embodiment="aloha_joint",
        layout="joint_position 14 joint_position 14",
        control_hz=50,
        cameras={"primary": ORANGE, "secondary": TEAL, "wrist": PLUM},
        state=(state,),
        action=(action,),
        raw_state=("observation/state",),
        raw_action=("action",),
    )
