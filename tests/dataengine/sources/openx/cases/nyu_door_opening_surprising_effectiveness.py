from tests.support.openx_case import Case
from tests.support.openx_values import REACHED, RELATIVE, TEAL, motion, patch, rtx


def case() -> Case:
    asked = motion()
    steps = rtx("open", {"image": patch(TEAL)}, {**asked, "gripper_closedness_action": RELATIVE[:, None]})
    return Case(
        steps=steps,
        embodiment="hello_stretch_no_state_eef_velocity",
        layout="none 0 eef_velocity 7",
        control_hz=3,
        cameras={"wrist": TEAL},
        action=(*asked.values(), REACHED),
        raw_action=(
            "action/world_vector",
            "action/rotation_delta",
            "action/gripper_closedness_action",
            "action/terminate_episode",
        ),
    )
