import numpy as np

from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, T, numbers, patch


def case() -> Case:
    position, action, codes = numbers(2), numbers(2), np.zeros((T, 512), np.int32)
    for i in range(T):
        text = "schiebe das grüne Herz".encode() if i < T - 1 else b"stop"
        codes[i, : len(text)] = list(text)
    seen = {
        "effector_target_translation": numbers(2),
        "effector_translation": position,
        "instruction": codes,
        "rgb": patch(ORANGE),
    }
    return Case(
        steps={"action": action, "observation": seen},
        embodiment="xarm_planar",
        layout="eef_pose 2 eef_delta 2",
        control_hz=10,
        cameras={"primary": ORANGE},
        instruction=["schiebe das grüne Herz", "stop"],
        state=(position,),
        action=(action,),
        raw_state=("observation/effector_translation", "observation/effector_target_translation"),
        raw_action=("action",),
        is_certain=True,
    )
