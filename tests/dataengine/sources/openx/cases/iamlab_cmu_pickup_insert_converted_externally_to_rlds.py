from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, SHUT, TEAL, UNIT, beside, instructed, numbers, patch, rpy, turns
from tests.support.openx_writer import Stored


def case() -> Case:
    state, turn = beside(numbers(7), UNIT, numbers(12)), turns()
    action = beside(numbers(3), 2.0 * turn.as_quat()[:, [3, 0, 1, 2]], SHUT)
    seen = {"image": Stored(patch(ORANGE), "png"), "wrist_image": Stored(patch(TEAL), "png"), "state": state}
    return Case(
        steps=instructed("do it", seen, action),
        embodiment="franka_joint_state_eef_target",
        layout="joint_position 8 eef_pose 7",
        control_hz=20,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(state[:, :8],),
        action=(action[:, :3], rpy(turn), SHUT),
        raw_state=("observation/state",),
        raw_action=("action",),
        is_certain=True,
    )
