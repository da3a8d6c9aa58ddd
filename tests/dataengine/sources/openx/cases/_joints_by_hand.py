import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import FLAGS, TEAL, instructed, numbers, patch


def joints_by_hand(embodiment: str, control_hz: float, **more: np.ndarray) -> Case:
    joints, action = numbers(7), numbers(8)
    action[:, 7] = FLAGS
    seen = {"gripper": FLAGS.astype(bool), "hand_image": patch(TEAL), "joint_pos": joints, **more}
    return Case(
        steps=instructed("pick", seen, action),
        embodiment=embodiment,
        layout="joint_position 8 joint_delta 8",
        control_hz=control_hz,
        cameras={"wrist": TEAL},
        state=(joints, 1 - FLAGS),
        action=(action[:, :7], 1 - FLAGS),
        raw_state=("observation/joint_pos", "observation/gripper", *(f"observation/{key}" for key in more)),
        raw_action=("action",),
    )
