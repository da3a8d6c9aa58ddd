from tests.support.openx_case import Case
from tests.support.openx_values import CLOSES, CLOSING_M, ORANGE, SHUT, ZERO, T, instructed, numbers, patch


def case(*, success: bool = True) -> Case:
    state, action = numbers(7), numbers(4)
    state[:, 6], action[:, 3] = CLOSING_M, CLOSES
    return Case(
        steps=instructed("pick up the cup", {"image": patch(ORANGE), "state": state}, action),
        beside={"episode_metadata": {"success": success, "n_transitions": T}},
        embodiment="xarm_eef_velocity_unscaled",
        layout="eef_pose 7 eef_velocity 7",
        control_hz=3,
        cameras={"primary": ORANGE},
        state=(state,),
        action=(action[:, :3], ZERO, SHUT),
        raw_state=("observation/state",),
        raw_action=("action",),
        notes={"gripper_polarity": "+1 closes (by the width)", "outcome": "success" if success else "failure"},
    )
