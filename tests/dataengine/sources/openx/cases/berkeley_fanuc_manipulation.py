from tests.support.openx_case import Case
from tests.support.openx_values import NEXT, ORANGE, TEAL, UNIT, beside, instructed, numbers, patch, rpy, turns
from tests.support.openx_writer import Stored


def case() -> Case:
    joints, position, rotation, action = numbers(13), numbers(3), turns(), numbers(6)
    joints[:, 6] = UNIT
    seen = {
        "image": Stored(patch(TEAL[::-1]), "png"),
        "wrist_image": Stored(patch(ORANGE[::-1]), "png"),
        "state": joints,
        "end_effector_state": beside(position, rotation.as_quat()),
    }
    return Case(
        steps=instructed("do it", seen, action),
        embodiment="fanuc_mate",
        layout="eef_pose 7 eef_delta 7",
        control_hz=10,
        cameras={"primary": TEAL, "wrist": ORANGE},
        state=(position, rpy(rotation), UNIT),
        action=(action, NEXT),
        raw_state=("observation/state", "observation/end_effector_state"),
        raw_action=("action",),
    )
