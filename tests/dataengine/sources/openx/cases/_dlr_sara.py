from scipy.spatial.transform import Rotation

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, angles, instructed, numbers, patch, rpy, way
from tests.support.openx_writer import Stored


def sara(width: int) -> Case:
    state, action = numbers(width), numbers(7)
    state[:, 3:6] = angles()
    rotation = Rotation.from_euler("zxy", state[:, 3:6])
    return Case(
        steps=instructed("do it", {"image": Stored(patch(ORANGE), "png"), "state": state}, action),
        embodiment="dlr_sara_no_gripper",
        layout="eef_pose 6 eef_delta 6",
        control_hz=10,
        cameras={"primary": ORANGE},
        state=(state[:-1, :3], rpy(rotation[:-1])),
        action=(way(state[:, :3], rotation),),
        raw_state=("observation/state",),
        raw_action=("action",),
        rows=slice(-1),
    )
