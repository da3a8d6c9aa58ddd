from tests.support.openx_case import Case
from tests.support.openx_values import CLOSES, ORANGE, SHUT, motion, patch, rtx


def case() -> Case:
    asked = motion()
    steps = rtx("fold", {"front_rgb": patch(ORANGE)}, {**asked, "gripper_closedness_action": CLOSES[:, None]})
    return Case(
        steps=steps,
        embodiment="sawyer_no_state_unscaled",
        layout="none 0 eef_delta 7",
        control_hz=10,
        cameras={"primary": ORANGE},
        action=(*asked.values(), SHUT),
        raw_action=(
            "action/world_vector",
            "action/rotation_delta",
            "action/gripper_closedness_action",
            "action/terminate_episode",
        ),
    )
