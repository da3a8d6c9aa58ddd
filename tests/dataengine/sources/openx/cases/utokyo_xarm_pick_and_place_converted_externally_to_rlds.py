from tests.support.openx_case import Case
from tests.support.openx_values import FLAGS, ORANGE, PLUM, TEAL, instructed, numbers, patch
from tests.support.openx_writer import Stored


def case() -> Case:
    pose, action = numbers(6), numbers(7)
    action[:, 6] = FLAGS
    images = {"image": ORANGE, "image2": TEAL, "hand_image": PLUM}
    seen = {
        **{key: Stored(patch(colour), "png") for key, colour in images.items()},
        "end_effector_pose": pose,
        "joint_state": numbers(14),
        "joint_trajectory": numbers(21),
    }
    return Case(
        steps=instructed("stack", seen, action),
        embodiment="xarm_no_gripper_state_eef_target",
        layout="eef_pose 6 eef_pose 7",
        control_hz=10,
        cameras={"primary": ORANGE, "secondary": TEAL, "wrist": PLUM},
        state=(pose[:, [0, 1, 2, 5, 4, 3]],),
        action=(action[:, [0, 1, 2, 5, 4, 3, 6]],),
        raw_state=("observation/end_effector_pose", "observation/joint_state", "observation/joint_trajectory"),
        raw_action=("action",),
        notes={"action_reads_as": "neither"},
    )
