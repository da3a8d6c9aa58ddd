from tests.support.openx_case import Case
from tests.support.openx_values import FLAGS, ORANGE, TEAL, instructed, numbers, patch


def case() -> Case:
    action = numbers(8)
    action[:, 6] = FLAGS
    seen = {"highres_image": patch(ORANGE), "image": patch(TEAL)}
    return Case(
        steps=instructed("open the cabinet", seen, action, structured_action=numbers(8)),
        embodiment="franka_no_state_unscaled",
        layout="none 0 eef_delta 7",
        control_hz=10,
        cameras={"primary": ORANGE},
        action=(action[:, :7],),
        raw_action=("action", "structured_action"),
    )
