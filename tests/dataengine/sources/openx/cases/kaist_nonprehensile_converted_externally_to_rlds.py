import numpy as np
from scipy.spatial.transform import Rotation

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, instructed, numbers, patch, rpy, turns


def case() -> Case:
    position, rotation, action = numbers(3), turns(), numbers(20)
    state = np.hstack([numbers(14), position, rotation.as_quat()]).astype(np.float32)
    seen = {"image": patch(ORANGE), "partial_pointcloud": numbers(8, 3), "state": state}
    turn = Rotation.from_rotvec(action[:, 3:6]).as_euler("xyz")
    return Case(
        steps=instructed("topple", seen, action),
        embodiment="franka_no_gripper",
        layout="eef_pose 6 eef_delta 6",
        control_hz=10,
        cameras={"primary": ORANGE},
        state=(position, rpy(rotation)),
        action=(action[:, :3], turn),
        raw_state=("observation/state",),
        raw_action=("action",),
        is_certain=True,
    )
