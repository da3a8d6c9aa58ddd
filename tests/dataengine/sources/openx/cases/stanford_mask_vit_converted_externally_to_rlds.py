from tests.support.openx_case import Case
from tests.support.openx_values import CLOSES, ORANGE, SHUT, UNIT, beside, instructed, numbers, patch
from tests.support.openx_writer import Stored


def case() -> Case:
    pose, action, low, high = numbers(5), beside(numbers(4), CLOSES), numbers(5), numbers(5) + 3
    seen = {
        "end_effector_pose": pose,
        "state": numbers(15),
        "finger_sensors": UNIT[:, None],
        "low_bound": low,
        "high_bound": high,
        "image": Stored(patch(ORANGE), "png"),
    }
    position = low[:, :3] * (1 - pose[:, :3]) + high[:, :3] * pose[:, :3]
    return Case(
        steps=instructed("do it", seen, action),
        embodiment="sawyer_yaw_only_unscaled",
        layout="eef_pose 5 eef_delta 5",
        control_hz=1,
        cameras={"primary": ORANGE},
        state=(position[:-1], pose[:-1, 3:]),
        action=(action[:-1, :4], SHUT[:-1]),
        raw_state=(
            "observation/end_effector_pose",
            "observation/state",
            "observation/finger_sensors",
            "observation/low_bound",
            "observation/high_bound",
        ),
        raw_action=("action",),
        rows=slice(-1),
    )
