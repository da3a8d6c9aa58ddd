import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import FLAGS, ORANGE, T, instructed, numbers, patch


def case() -> Case:
    state, action = numbers(21), np.hstack([numbers(3) * 400, numbers(3) * 90, FLAGS[:, None], np.zeros((T, 1))])
    return Case(
        steps=instructed("close the oven", {"image": patch(ORANGE), "state": state}, action.astype(np.float32)),
        embodiment="xarm_joint_state_no_gripper_eef_target",
        layout="joint_position 7 eef_pose 7",
        control_hz=2,
        cameras={"primary": ORANGE},
        state=(state[:, :7],),
        action=(action[:, :3] / 1000, action[:, 3:6] * np.pi / 180, FLAGS),
        raw_state=("observation/state",),
        raw_action=("action",),
    )
