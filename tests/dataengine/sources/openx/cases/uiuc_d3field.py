from typing import Any

import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, TEAL, T, instructed, numbers, patch, poses, rpy, turns, way
from tests.support.openx_writer import Stored


def case() -> Case:
    position, rotation, action = numbers(3), turns(), numbers(3)
    seen: dict[str, Any] = {f"image_{k}": Stored(patch(ORANGE if k == 1 else TEAL), "png") for k in range(1, 5)}
    seen |= {f"depth_{k}": Stored(np.ones((T, 8, 8, 1), np.uint16), "png") for k in range(1, 5)}
    seen |= {"state": poses(position, rotation, by_column=False)}
    return Case(
        steps=instructed("do it", seen, action),
        embodiment="kinova_gen3_no_gripper",
        layout="eef_pose 6 eef_delta 6",
        control_hz=1,
        cameras={"primary": ORANGE, "secondary": TEAL},
        state=(position[:-1], rpy(rotation[:-1])),
        action=(way(position, rotation),),
        raw_state=("observation/state",),
        raw_action=("action",),
        rows=slice(-1),
    )
