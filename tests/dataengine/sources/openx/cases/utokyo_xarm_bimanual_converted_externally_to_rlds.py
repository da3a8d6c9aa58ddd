from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, instructed, numbers, patch


def case() -> Case:
    left, right, action = numbers(6), numbers(6), numbers(14)
    seen = {
        "action_l": action[:, :7],
        "action_r": action[:, 7:],
        "image": patch(ORANGE),
        "pose_l": left,
        "pose_r": right,
    }
    turned = [0, 1, 2, 5, 4, 3]
    return Case(
        steps=instructed("unfold", seen, action),
        embodiment="xarm_bimanual_no_gripper_state_eef_target",
        layout="eef_pose 12 eef_pose 14",
        control_hz=10,
        cameras={"primary": ORANGE},
        state=(left[:, turned], right[:, turned]),
        action=(action[:, [*turned, 6, 7, 8, 9, 12, 11, 10, 13]],),
        raw_state=("observation/pose_l", "observation/pose_r"),
        raw_action=("action",),
        notes={"action_reads_as": "neither"},
    )
