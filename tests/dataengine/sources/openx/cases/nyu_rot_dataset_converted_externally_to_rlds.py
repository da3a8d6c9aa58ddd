from tests.support.openx_case import Case
from tests.support.openx_values import FLAGS, ORANGE, instructed, numbers, patch
from tests.support.openx_writer import Stored


def case() -> Case:
    state, action = numbers(7), numbers(7)
    state[:, 6], action[:, 6] = FLAGS, 1 - FLAGS
    return Case(
        steps=instructed("pour", {"image": Stored(patch(ORANGE), "png"), "state": state}, action),
        embodiment="xarm_unscaled",
        layout="eef_pose 7 eef_delta 7",
        control_hz=3,
        cameras={"primary": ORANGE},
        state=(state[:, :6], 1 - FLAGS),
        action=(action[:, :6], FLAGS),
        raw_state=("observation/state",),
        raw_action=("action",),
    )
