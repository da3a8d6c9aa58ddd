"""Episodes of twenty-one sets of Open X-Embodiment in their published schemas, and what must become of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from tests.support.openx_writer import Stored

T = 6
RNG = np.random.default_rng(11)
ORANGE, TEAL, PLUM, OLIVE = (230, 120, 20), (20, 140, 150), (120, 40, 110), (120, 130, 30)
ZERO = np.zeros((T, 3))
RELATIVE = np.array([0, 1, 0, 0, -1, 0], np.float32)
"""Commands +1 close, -1 open, 0 hold; REACHED is what they make of the gripper."""
REACHED = [1, 0, 0, 0, 1, 1]
CLOSES = np.array([-1, 1, 1, 1, 1, 1], np.float32)
"""A command of which +1 closes, seen in CLOSING_M; SHUT is what it asks of the gripper."""
CLOSING_M = np.array([0.08, 0.08, 0.06, 0.04, 0.02, 0.02], np.float32)
SHUT = [1, 0, 0, 0, 0, 0]
FLAGS = np.array([0, 1, 1, 0, 0, 1], np.float32)
"""A gripper that is told by 0 and 1."""


@dataclass(frozen=True)
class Case:
    """An episode in its published schema, and what must become of it."""

    steps: Mapping[str, Any]
    state: tuple[Any, ...]
    """Columns side by side; none for no state."""
    action: tuple[Any, ...]
    cameras: Mapping[str, tuple[int, int, int]]
    beside: Mapping[str, Any] | None = None
    first: int = 0
    """First step of the record that is kept."""


def patch(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((T, 16, 24, 3), colour, np.uint8)


def numbers(*shape: int) -> np.ndarray:
    return RNG.normal(size=(T, *shape)).astype(np.float32)


def turns() -> Rotation:
    return Rotation.random(T, random_state=int(RNG.integers(1000)))


def matrices(position: np.ndarray, rotation: Rotation) -> np.ndarray:
    """4x4 poses column by column, as Franka's driver writes them."""
    pose = np.tile(np.eye(4), (T, 1, 1))
    pose[:, :3, :3], pose[:, :3, 3] = rotation.as_matrix(), position
    return pose.swapaxes(1, 2).reshape(T, 16).astype(np.float32)


def told(text: str, observation: Mapping[str, Any], action: Any, **more: Any) -> dict[str, Any]:
    """Steps of a set that was converted externally."""
    return {"action": action, "language_instruction": text, "observation": observation, **more}


def rtx(text: str, observation: Mapping[str, Any], action: Mapping[str, Any]) -> dict[str, Any]:
    """Steps of a set that RT-X's authors converted."""
    end = {"terminate_episode": np.zeros(T, np.float32)}
    seen = {"natural_language_instruction": text, "natural_language_embedding": numbers(4)}
    return {"action": {**action, **end}, "observation": {**observation, **seen}}


def motion() -> dict[str, np.ndarray]:
    return {"world_vector": numbers(3), "rotation_delta": numbers(3)}


def bridge() -> Case:
    state, opened = numbers(7), np.array([True, False, False, True, True, False])
    state[:, 3:6] *= 0.1
    state[3:, 5] += 2 * np.pi  # a yaw that was written a turn further
    steps = rtx("stir", {"image": patch(ORANGE), "state": state}, {**motion(), "open_gripper": opened})
    moved = np.diff(state[1:, :6], axis=0)
    moved[1, 5] -= 2 * np.pi
    kept = state[1:-1]
    return Case(steps, (kept[:, :6], np.clip(kept[:, 6], 0, 1)), (moved, opened[1:-1]), {"primary": ORANGE}, first=1)


def cable_routing() -> Case:
    asked, joints = motion(), numbers(7)
    images = {"image": ORANGE, "top_image": TEAL, "wrist45_image": PLUM, "wrist225_image": OLIVE}
    steps = rtx("route", {**{k: patch(c) for k, c in images.items()}, "robot_state": joints}, asked)
    return Case(
        steps, (joints,), tuple(asked.values()), {"primary": ORANGE, "secondary": TEAL, "wrist": PLUM, "wrist_2": OLIVE}
    )


def roboturk() -> Case:
    asked = motion()
    steps = rtx("fold", {"front_rgb": patch(ORANGE)}, {**asked, "gripper_closedness_action": CLOSES[:, None]})
    return Case(steps, (), (*asked.values(), SHUT), {"primary": ORANGE})


def nyu_door() -> Case:
    asked = motion()
    steps = rtx("open", {"image": patch(TEAL)}, {**asked, "gripper_closedness_action": RELATIVE[:, None]})
    return Case(steps, (), (*asked.values(), REACHED), {"wrist": TEAL})


def viola() -> Case:
    asked, position, rotation = motion(), numbers(3), turns()
    seen = {
        "agentview_rgb": patch(ORANGE),
        "eye_in_hand_rgb": patch(TEAL),
        "ee_states": matrices(position, rotation),
        "gripper_states": CLOSING_M[:, None],
        "joint_states": numbers(7),
    }
    return Case(
        rtx("make coffee", seen, {**asked, "gripper_closedness_action": CLOSES}),
        (position, rotation.as_euler("xyz"), CLOSING_M / 0.08),
        (*asked.values(), SHUT),
        {"primary": ORANGE, "wrist": TEAL},
    )


def buds() -> Case:
    action, position, rotation, joints = numbers(7), numbers(3), turns(), numbers(7)
    action[:, 6] = CLOSES
    state = np.hstack([joints, CLOSING_M[:, None], matrices(position, rotation)])
    seen = {"image": patch(ORANGE), "wrist_image": patch(TEAL), "state": state}
    return Case(
        told("hammer", seen, action),
        (position, rotation.as_euler("xyz"), CLOSING_M / 0.08),
        (action[:, :6], SHUT),
        {"primary": ORANGE, "wrist": TEAL},
    )


def toto() -> Case:
    asked, joints, opened = motion(), numbers(7), FLAGS.astype(bool)
    steps = rtx("scoop", {"image": patch(ORANGE), "state": joints}, {**asked, "open_gripper": opened})
    return Case(steps, (joints,), (*asked.values(), opened), {"primary": ORANGE})


def pusht() -> Case:
    asked, place = motion(), numbers(2)
    seen = {"image": patch(ORANGE), "wrist_image": patch(TEAL), "robot_state": place}
    return Case(
        rtx("push", seen, {**asked, "gripper_closedness_action": RELATIVE}),
        (place,),
        (*asked.values(), REACHED),
        {"primary": ORANGE, "wrist": TEAL},
    )


def kuka_multimodal() -> Case:
    action, position, rotation, joints = numbers(4), numbers(3), turns(), numbers(8)
    seen = {
        "contact": numbers(50),
        "depth_image": numbers(4, 4, 1),
        "ee_forces_continuous": numbers(50, 6),
        "ee_orientation": rotation.as_quat().astype(np.float32),
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
        told("insert", seen, action),
        (position, rotation.as_euler("xyz"), joints[:, 7]),
        (action[:, :3], ZERO, action[:, 3]),
        {"primary": ORANGE},
    )


def nyu_rot() -> Case:
    state, action = numbers(7), numbers(7)
    state[:, 6], action[:, 6] = FLAGS, 1 - FLAGS
    return Case(
        told("pour", {"image": Stored(patch(ORANGE), "png"), "state": state}, action),
        (state[:, :6], 1 - FLAGS),
        (action[:, :6], FLAGS),
        {"primary": ORANGE},
    )


def maniskill() -> Case:
    position, rotation, base, standing, action = numbers(3), turns(), numbers(3), turns(), numbers(7)
    action[:, 6] = -CLOSES
    in_world = np.hstack([standing.apply(position) + base, (standing * rotation).as_quat()[:, [3, 0, 1, 2]]])
    state = numbers(18)
    state[:, 7:9] = CLOSING_M[:, None] / 2
    seen = {
        "base_pose": np.hstack([base, standing.as_quat()[:, [3, 0, 1, 2]]]).astype(np.float32),
        "depth": Stored(np.zeros((T, 4, 4, 1), np.uint16), "png"),
        "image": patch(ORANGE),
        "main_camera_intrinsic_cv": numbers(3, 3),
        "state": state,
        "target_object_or_part_final_pose": numbers(7),
        "target_object_or_part_final_pose_valid": np.ones((T, 7), np.uint8),
        "target_object_or_part_initial_pose": numbers(7),
        "tcp_pose": in_world.astype(np.float32),
        "wrist_image": patch(TEAL),
    }
    turn = Rotation.from_rotvec(action[:, 3:6] * 0.1).as_euler("xyz")
    return Case(
        told("lift the cube", seen, action),
        (position, rotation.as_euler("xyz"), CLOSING_M / 0.08),
        (action[:, :3] * 0.1, turn, SHUT),
        {"primary": ORANGE, "wrist": TEAL},
    )


def cmu_exploration() -> Case:
    action = numbers(8)
    seen = {"highres_image": patch(ORANGE), "image": patch(TEAL)}
    return Case(
        told("open the cabinet", seen, action, structured_action=numbers(8)), (), (action[:, :7],), {"primary": ORANGE}
    )


def ucsd_kitchen() -> Case:
    state, action = numbers(21), np.hstack([numbers(3) * 400, numbers(3) * 90, FLAGS[:, None], np.zeros((T, 1))])
    return Case(
        told("close the oven", {"image": patch(ORANGE), "state": state}, action.astype(np.float32)),
        (state[:, :7],),
        (action[:, :3] / 1000, action[:, 3:6] * np.pi / 180, FLAGS),
        {"primary": ORANGE},
    )


def ucsd_pick(*, success: bool = True) -> Case:
    state, action = numbers(7), numbers(4)
    state[:, 6], action[:, 3] = CLOSING_M, CLOSES
    return Case(
        told("pick up the cup", {"image": patch(ORANGE), "state": state}, action),
        (state,),
        (action[:, :3], ZERO, SHUT),
        {"primary": ORANGE},
        beside={"episode_metadata": {"success": success, "n_transitions": T}},
    )


def pr2() -> Case:
    state = numbers(7)
    action = np.hstack([state + 0.01, np.zeros((T, 1), np.float32)]).astype(np.float32)
    return Case(
        told("open the fridge", {"image": Stored(patch(ORANGE), "png"), "state": state}, action),
        (state,),
        (action[:, :7],),
        {"primary": ORANGE},
    )


def xarm_pick() -> Case:
    pose, action = numbers(6), numbers(7)
    images = {"image": ORANGE, "image2": TEAL, "hand_image": PLUM}
    seen = {
        **{key: Stored(patch(colour), "png") for key, colour in images.items()},
        "end_effector_pose": pose,
        "joint_state": numbers(14),
        "joint_trajectory": numbers(21),
    }
    return Case(
        told("stack", seen, action),
        (pose[:, [0, 1, 2, 5, 4, 3]],),
        (action[:, [0, 1, 2, 5, 4, 3, 6]],),
        {"primary": ORANGE, "secondary": TEAL, "wrist": PLUM},
    )


def xarm_bimanual() -> Case:
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
        told("unfold", seen, action),
        (left[:, turned], right[:, turned]),
        (action[:, [*turned, 6, 7, 8, 9, 12, 11, 10, 13]],),
        {"primary": ORANGE},
    )


def joints_by_hand(**more: np.ndarray) -> Case:
    joints, action = numbers(7), numbers(8)
    action[:, 7] = FLAGS
    seen = {"gripper": FLAGS.astype(bool), "hand_image": patch(TEAL), "joint_pos": joints, **more}
    return Case(told("pick", seen, action), (joints, 1 - FLAGS), (action[:, :7], 1 - FLAGS), {"wrist": TEAL})


def kaist() -> Case:
    position, rotation, action = numbers(3), turns(), numbers(20)
    state = np.hstack([numbers(14), position, rotation.as_quat()]).astype(np.float32)
    seen = {"image": patch(ORANGE), "partial_pointcloud": numbers(8, 3), "state": state}
    turn = Rotation.from_rotvec(action[:, 3:6]).as_euler("xyz")
    return Case(
        told("topple", seen, action), (position, rotation.as_euler("xyz")), (action[:, :3], turn), {"primary": ORANGE}
    )


RLDS = "_converted_externally_to_rlds"

SETS: Mapping[str, tuple[Callable[[], Case], float, int, int, str, str]] = {
    # Episode, control rate, numbers kept raw of state and action, body, encoding and width of its state and its action.
    "bridge": (bridge, 5, 7, 8, "widowx", "eef_pose 7 eef_delta 7"),
    "berkeley_cable_routing": (
        cable_routing,
        10,
        7,
        7,
        "franka_joint_state_eef_velocity_no_gripper",
        "joint_position 7 eef_velocity 6",
    ),
    "roboturk": (roboturk, 10, 0, 8, "sawyer_no_state_unscaled", "none 0 eef_delta 7"),
    "nyu_door_opening_surprising_effectiveness": (
        nyu_door,
        3,
        0,
        8,
        "hello_stretch_no_state_eef_velocity",
        "none 0 eef_velocity 7",
    ),
    "viola": (viola, 20, 24, 8, "franka_unscaled", "eef_pose 7 eef_delta 7"),
    f"austin_buds_dataset{RLDS}": (buds, 20, 24, 7, "franka_unscaled", "eef_pose 7 eef_delta 7"),
    "toto": (toto, 30, 7, 8, "franka_joint_state_no_gripper_eef_target", "joint_position 7 eef_pose 7"),
    "columbia_cairlab_pusht_real": (pusht, 10, 2, 8, "ur5_planar_state", "eef_pose 2 eef_delta 7"),
    f"stanford_kuka_multimodal_dataset{RLDS}": (
        kuka_multimodal,
        20,
        36,
        4,
        "kuka_iiwa_unscaled",
        "eef_pose 7 eef_delta 7",
    ),
    f"nyu_rot_dataset{RLDS}": (nyu_rot, 3, 7, 7, "xarm_unscaled", "eef_pose 7 eef_delta 7"),
    f"maniskill_dataset{RLDS}": (maniskill, 20, 46, 7, "franka", "eef_pose 7 eef_delta 7"),
    f"cmu_franka_exploration_dataset{RLDS}": (
        cmu_exploration,
        10,
        0,
        16,
        "franka_no_state_unscaled",
        "none 0 eef_delta 7",
    ),
    f"ucsd_kitchen_dataset{RLDS}": (
        ucsd_kitchen,
        2,
        21,
        8,
        "xarm_joint_state_no_gripper_eef_target",
        "joint_position 7 eef_pose 7",
    ),
    f"ucsd_pick_and_place_dataset{RLDS}": (
        ucsd_pick,
        3,
        7,
        4,
        "xarm_eef_velocity_unscaled",
        "eef_pose 7 eef_velocity 7",
    ),
    f"utokyo_pr2_opening_fridge{RLDS}": (pr2, 10, 7, 8, "pr2_eef_target", "eef_pose 7 eef_pose 7"),
    f"utokyo_pr2_tabletop_manipulation{RLDS}": (pr2, 10, 7, 8, "pr2_eef_target", "eef_pose 7 eef_pose 7"),
    f"utokyo_xarm_pick_and_place{RLDS}": (
        xarm_pick,
        10,
        41,
        7,
        "xarm_no_gripper_state_eef_target",
        "eef_pose 6 eef_pose 7",
    ),
    f"utokyo_xarm_bimanual{RLDS}": (
        xarm_bimanual,
        10,
        12,
        14,
        "xarm_bimanual_no_gripper_state_eef_target",
        "eef_pose 12 eef_pose 14",
    ),
    f"berkeley_mvp{RLDS}": (
        lambda: joints_by_hand(pose=numbers(7)),
        5,
        15,
        8,
        "xarm_joint_delta",
        "joint_position 8 joint_delta 8",
    ),
    f"berkeley_rpt{RLDS}": (joints_by_hand, 30, 8, 8, "franka_joint_delta", "joint_position 8 joint_delta 8"),
    f"kaist_nonprehensile{RLDS}": (kaist, 10, 21, 20, "franka_no_gripper", "eef_pose 6 eef_delta 6"),
}
