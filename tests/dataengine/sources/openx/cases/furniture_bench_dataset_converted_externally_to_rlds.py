import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, TEAL, T, instructed, numbers, patch, quaternions, rpy, turns


def case() -> Case:
    state, action, now, turn = numbers(35), numbers(8), turns(), turns()
    state[:, 3:7], action[:, 3:7] = quaternions(now), quaternions(turn)
    state[:, 34], action[:, 7] = np.linspace(0.08, 0, T), [-1, -1, 1, 1, 1, -1]
    reached = now * turn  # the publisher's controller multiplies from the right: about the gripper's axes
    return Case(
        steps=instructed("do it", {"image": patch(ORANGE), "wrist_image": patch(TEAL), "state": state}, action),
        embodiment="franka",
        layout="eef_pose 7 eef_delta 7",
        control_hz=10,
        cameras={"primary": ORANGE, "wrist": TEAL},
        state=(state[:, :3], rpy(now), np.linspace(1, 0, T)),
        action=(action[:, :3], rpy(reached * now.inv()), [1, 1, 0, 0, 0, 1]),
        raw_state=("observation/state",),
        raw_action=("action",),
    )
