from tests.support.openx_case import Case
from tests.support.openx_values import NEXT, ORANGE, UNIT, ZERO, instructed, numbers, patch, quaternions, rpy, turns
from tests.support.openx_writer import Stored


def case() -> Case:
    action, position, rotation, joints = numbers(4), numbers(3), turns(), numbers(8)
    joints[:, 7], action[:, 3] = UNIT, NEXT
    seen = {
        "contact": numbers(50),
        "depth_image": numbers(4, 4, 1),
        "ee_forces_continuous": numbers(50, 6),
        "ee_orientation": quaternions(rotation),
        "ee_orientation_vel": numbers(3),
        "ee_position": position,
        "ee_vel": numbers(3),
        "ee_yaw": numbers(4),
        "ee_yaw_delta": numbers(4),
        "image": Stored(patch(ORANGE), "png"),
        "joint_pos": joints[:, :7],
        "joint_vel": numbers(7),
        "optical_flow": numbers(4, 4, 2),
        "state": joints,
    }
    return Case(
        steps=instructed("insert", seen, action),
        embodiment="kuka_iiwa_unscaled",
        layout="eef_pose 7 eef_delta 7",
        control_hz=20,
        cameras={"primary": ORANGE},
        state=(position, rpy(rotation), joints[:, 7]),
        action=(action[:, :3], ZERO, action[:, 3]),
        raw_state=(
            "observation/ee_position",
            "observation/ee_orientation",
            "observation/ee_vel",
            "observation/ee_orientation_vel",
            "observation/ee_yaw",
            "observation/ee_yaw_delta",
            "observation/joint_vel",
            "observation/state",
        ),
        raw_action=("action",),
        notes={"action_reads_as": "neither"},
    )
