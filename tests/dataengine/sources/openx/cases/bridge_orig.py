import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import OLIVE, ORANGE, PLUM, TEAL, instructed, numbers, patch


def case() -> Case:
    state, action = numbers(7), numbers(7)
    state[:, 3:6] *= 0.1
    state[3:, 5] += 2 * np.pi  # a recorded yaw that wraps around
    action[:, 6] = [0.0, 1.0, 0.8, 0.3, 0.02, 0.5]
    moved = np.diff(state[1:, :6], axis=0)
    moved[1, 5] -= 2 * np.pi
    kept = state[1:-1]
    colours = {"image_0": ORANGE, "image_1": TEAL, "image_2": PLUM, "image_3": OLIVE}
    seen = {**{key: patch(colour) for key, colour in colours.items()}, "state": state}
    return Case(
        steps=instructed("put the pot in the sink", seen, action),
        published_as="bridge_dataset",
        embodiment="widowx",
        layout="eef_pose 7 eef_delta 7",
        control_hz=5,
        cameras={"primary": ORANGE, "secondary": TEAL},
        state=(kept[:, :6], np.clip(kept[:, 6], 0, 1)),
        action=(moved, [1, 0, 0, 0]),
        raw_state=("observation/state",),
        raw_action=("action",),
        rows=slice(1, -1),
        is_certain=True,
    )
