import numpy as np
from scipy.spatial.transform import Rotation

from tests.support.openx_case import Case
from tests.support.openx_values import TEAL, T, numbers, patch, quaternions, rpy


def case() -> Case:
    reached = Rotation.random(T + 1, random_state=3)
    now, following = reached[:-1], reached[1:]
    state, action = numbers(7), numbers(7)
    state[:, 3:6] = rpy(now)
    action[:, 3:6] = rpy(now.inv() * following)  # about the gripper's axes
    state[:, 6], action[:, 6] = np.linspace(1, 0, T), np.linspace(0.9, 0, T)
    seen = {"gripper": state[:, 6:], "quat": quaternions(now), "wrist_image": patch(TEAL), "state": state}
    return Case(
        steps={"action": action, "language_instruction": "open the door", "observation": seen},
        embodiment="hello_stretch",
        layout="eef_pose 7 eef_delta 7",
        control_hz=3.75,
        cameras={"primary": TEAL},
        state=(state,),
        action=(action[:, :3], rpy(following * now.inv()), action[:, 6]),
        raw_state=("observation/state", "observation/quat"),
        raw_action=("action",),
        is_certain=True,
    )
