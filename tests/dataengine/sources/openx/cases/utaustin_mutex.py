from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, TEAL, UNIT, beside, instructed, numbers, patch, poses, rpy, turns
from tests.support.openx_writer import Stored


def case() -> Case:
    position, rotation = numbers(3), turns()
    state = beside(numbers(7), 0.08 * UNIT, poses(position, rotation, by_column=True))
    action = beside(numbers(6), [1, -1, -1, 1, 1, 1])
    seen = {
        "image": Stored(patch(TEAL[::-1]), "png"),
        "wrist_image": Stored(patch(ORANGE[::-1]), "png"),
        "state": state,
    }
    return Case(
        steps=instructed("do it", seen, action),
        embodiment="franka_unscaled",
        layout="eef_pose 7 eef_delta 7",
        control_hz=20,
        cameras={"primary": TEAL, "wrist": ORANGE},
        state=(position, rpy(rotation), UNIT),
        action=(action[:, :6], [0, 1, 1, 0, 0, 0]),
        raw_state=("observation/state",),
        raw_action=("action",),
        notes={"gripper_polarity": "+1 closes (by the width)"},
    )
