"""Episodes of villa-X's mixture in their published schemas, as small as they go: values alone, for `write_openx`.

What a source does not read is there once, to be ignored.
"""

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from tests.support.openx_writer import Stored

T = 6
RNG = np.random.default_rng(7)
ORANGE, TEAL = (230, 120, 20), (20, 140, 150)
RELATIVE = np.array([0, 1, 0, 0, -1, 0], np.float32)
"""Commands +1 close, -1 open, 0 hold; OPEN is what they make of the gripper."""
OPEN = [1, 0, 0, 0, 1, 1]
CLOSING_M = np.array([0.08, 0.08, 0.06, 0.04, 0.03, 0.03], np.float32)
"""Width of a gripper that closes in the middle of an episode."""


def patch(colour: tuple[int, int, int], size: tuple[int, int] = (16, 24)) -> np.ndarray:
    """Flat pictures, of one colour."""
    return np.full((T, *size, 3), colour, np.uint8)


def numbers(*shape: int) -> np.ndarray:
    return RNG.normal(size=(T, *shape)).astype(np.float32)


def turns() -> np.ndarray:
    """Unit quaternions xyzw."""
    return Rotation.random(T, random_state=int(RNG.integers(1000))).as_quat().astype(np.float32)


def kuka() -> dict[str, Any]:
    return {
        "action": {
            "base_displacement_vector": numbers(2),
            "base_displacement_vertical_rotation": numbers(1),
            "gripper_closedness_action": RELATIVE[:, None],
            "rotation_delta": numbers(3),
            "terminate_episode": np.zeros((T, 3), np.int32),
            "world_vector": numbers(3),
        },
        "observation": {
            "clip_function_input/base_pose_tool_reached": Stored(np.hstack([numbers(3), turns()]), "zlib"),
            "clip_function_input/workspace_bounds": Stored(numbers(3, 3), "zlib"),
            "gripper_closed": Stored(np.linspace(0, 1, T, dtype=np.float32)[:, None], "zlib"),
            "height_to_bottom": Stored(numbers(1), "zlib"),
            "image": patch(ORANGE),
            "natural_language_instruction": "pick anything",
        },
    }


def taco_play(command: np.ndarray, width_m: np.ndarray) -> dict[str, Any]:
    relative = numbers(7)
    relative[:, 6] = command
    state = numbers(15)
    state[:, 6] = width_m
    return {
        "action": {
            "actions": numbers(7),
            "rel_actions_gripper": numbers(7),
            "rel_actions_world": relative,
            "terminate_episode": np.zeros(T, np.float32),
        },
        "observation": {
            "depth_static": numbers(4, 4),
            "natural_language_instruction": "open the drawer",
            "structured_language_instruction": "open_drawer",
            "rgb_gripper": patch(TEAL, (84, 84)),
            "rgb_static": patch(ORANGE),
            "robot_obs": state,
        },
    }


def jaco_play() -> dict[str, Any]:
    joints = numbers(8)
    joints[:, 6:] = np.radians(np.linspace(0, 80, T))[:, None]
    return {
        "action": {
            "gripper_closedness_action": RELATIVE[:, None],
            "terminate_episode": np.zeros((T, 3), np.int32),
            "world_vector": numbers(3),
        },
        "observation": {
            "end_effector_cartesian_pos": np.hstack([numbers(3), turns()]),
            "end_effector_cartesian_velocity": numbers(6),
            "image": patch(ORANGE),
            "image_wrist": patch(TEAL),
            "joint_pos": joints,
            "natural_language_instruction": "pick up the cup",
        },
    }


def ur5() -> dict[str, Any]:
    state = numbers(15)
    state[:, 9:13] = turns()
    state[:, 13] = [0, 0, 1, 1, 0, 0]
    return {
        "action": {
            "gripper_closedness_action": RELATIVE,
            "rotation_delta": numbers(3),
            "terminate_episode": np.zeros(T, np.float32),
            "world_vector": numbers(3),
        },
        "observation": {
            "hand_image": patch(TEAL[::-1]),
            "image": patch(ORANGE),
            "natural_language_instruction": "sweep the green cloth",
            "robot_state": state,
        },
    }


def language_table() -> dict[str, Any]:
    codes = np.zeros((T, 512), np.int32)
    for i in range(T):
        text = "schiebe das grüne Herz".encode() if i < T - 1 else b"stop"
        codes[i, : len(text)] = list(text)
    return {
        "action": numbers(2),
        "observation": {
            "effector_target_translation": numbers(2),
            "effector_translation": numbers(2),
            "instruction": codes,
            "rgb": patch(ORANGE),
        },
    }


def converted(state: np.ndarray, action: np.ndarray, **more: Any) -> dict[str, Any]:
    """A set whose name ends in `_converted_externally_to_rlds`: a flat state, a flat action, two cameras."""
    observation = {"image": patch(ORANGE), "wrist_image": patch(TEAL), "state": state, **more.pop("observation", {})}
    return {"action": action, "language_instruction": "do it", "observation": observation, **more}


def hydra() -> dict[str, Any]:
    state, action = numbers(27), numbers(7)
    state[:, 24], action[:, 6] = np.linspace(0.08, 0, T), np.linspace(0, 1, T)
    swapped = {"image": patch(ORANGE[::-1]), "wrist_image": patch(TEAL[::-1])}
    return converted(state, action, observation=swapped, is_dense=np.arange(T) > 2)


def nyu_franka_play() -> dict[str, Any]:
    action = numbers(15)
    action[:, 13] = [1, 1, -1, -1, -1, 1]
    return {
        "action": action,
        "language_instruction": "play with the kitchen",
        "observation": {
            "depth": np.ones((T, 4, 4, 1), np.int32),
            "image": patch(ORANGE),
            "image_additional_view": patch(TEAL),
            "state": numbers(13),
        },
    }


def furniture_bench() -> dict[str, Any]:
    state, action = numbers(35), numbers(8)
    state[:, 3:7], action[:, 3:7] = turns(), turns()
    state[:, 34], action[:, 7] = np.linspace(0.08, 0, T), [-1, -1, 1, 1, 1, -1]
    return converted(state, action)


def sailor() -> dict[str, Any]:
    state, action = numbers(8), numbers(7)
    state[:, 3:7], state[:, 7], action[:, 6] = turns(), CLOSING_M - 0.003, [-1, 1, 1, 1, 1, 1]
    more = {"state_ee": numbers(16), "state_gripper": state[:, 7:], "state_joint": numbers(7)}
    return converted(state, action, observation=more)


def sirius(*, by_column: bool = True) -> dict[str, Any]:
    matrix = np.tile(np.eye(4, dtype=np.float32), (T, 1, 1))
    matrix[:, :3, :3], matrix[:, :3, 3] = Rotation.from_quat(turns()).as_matrix(), numbers(3)
    flat = (matrix.swapaxes(1, 2) if by_column else matrix).reshape(T, 16)
    action = numbers(7)
    action[:, 6] = [-1, 1, 1, 1, 1, 1]
    more = {"state_ee": flat, "state_gripper": CLOSING_M[:, None] - 0.003, "state_joint": numbers(7)}
    modes = {"action_mode": np.ones((T, 1), np.float32), "intv_label": np.full((T, 1), -10, np.float32)}
    return converted(numbers(8), action, observation=more, **modes)


def bc_z() -> dict[str, Any]:
    return {
        "action": {
            "future/axis_angle_residual": numbers(30) * 0.1,
            "future/target_close": np.tile((np.arange(T) > 2)[:, None], 10).astype(np.int64),
            "future/xyz_residual": numbers(30),
        },
        "observation": {
            "episode_success": np.zeros(T, np.float32),
            "image": patch(ORANGE),
            "natural_language_instruction": "place the bottle in the tray",
            "present/autonomous": np.ones(T, np.int64),
            "present/axis_angle": numbers(3),
            "present/intervention": np.zeros(T, np.int64),
            "present/sensed_close": np.linspace(0.2, 1, T, dtype=np.float32)[:, None],
            "present/xyz": numbers(3),
            "sequence_length": np.full(T, T),
        },
    }


def edan() -> dict[str, Any]:
    state, action = numbers(7), numbers(7) * 0.2
    state[:, 6] = action[:, 6] = np.linspace(0, 1, T)
    return converted(state, action)


def cmu_stretch() -> dict[str, Any]:
    state, action = numbers(4), numbers(8)
    state[:, 3], action[:, 6] = np.linspace(0, 1, T), [0, 0, 1, 1, 0, 0]
    return converted(state, action)


def fmb() -> dict[str, Any]:
    action = numbers(7)
    action[:, 6] = [0, 0, 1, 1, 1, 0]
    cameras = ("image_side_1", "image_side_2", "image_wrist_1", "image_wrist_2")
    return {
        "action": action,
        "language_instruction": ["Pick up the peg."] * 3 + ["Insert the peg."] * 3,
        "observation": {
            **{key: patch(ORANGE[::-1] if "side" in key else TEAL[::-1]) for key in cameras},
            **{f"{key}_depth": numbers(4, 4) for key in cameras},
            "eef_force": numbers(3),
            "eef_pose": np.hstack([numbers(3), turns()]),
            "eef_torque": numbers(3),
            "eef_vel": numbers(6),
            "joint_pos": numbers(7),
            "joint_vel": numbers(7),
            "primitive": "grasp",
            "state_gripper_pose": np.array([0, 0, 0, 1, 1, 0], np.float32),
        },
    }


def dobbe() -> dict[str, Any]:
    rotations = Rotation.random(T + 1, random_state=3)
    state, action = numbers(7), numbers(7)
    state[:, 3:6] = rotations[:-1].as_euler("xyz")
    action[:, 3:6] = (rotations[:-1].inv() * rotations[1:]).as_euler("xyz")
    state[:, 6], action[:, 6] = np.linspace(1, 0, T), np.linspace(0.9, 0, T)
    seen = {"gripper": state[:, 6:], "quat": rotations[:-1].as_quat().astype(np.float32), "wrist_image": patch(TEAL)}
    return {"action": action, "language_instruction": "open the door", "observation": {**seen, "state": state}}


def droid(**texts: str) -> dict[str, Any]:
    def wide(n: int) -> np.ndarray:
        return numbers(n).astype(np.float64)

    velocity = wide(6) * 0.3
    velocity[0] = [3, 0, 4, 0, 0, 2]
    pose = wide(6)
    gripper = np.linspace(0, 1, T)[:, None]
    return {
        "action": wide(7),
        "action_dict": {
            "cartesian_position": wide(6),
            "cartesian_velocity": velocity,
            "gripper_position": gripper[::-1].copy(),
            "gripper_velocity": wide(1),
            "joint_position": wide(7),
            "joint_velocity": wide(7),
        },
        "language_instruction": "put the marker in the cup",
        **texts,
        "observation": {
            "cartesian_position": pose,
            "exterior_image_1_left": patch(ORANGE),
            "exterior_image_2_left": patch(TEAL),
            "gripper_position": gripper,
            "joint_position": wide(7),
            "wrist_image_left": patch(TEAL),
        },
    }


def filed(result: str) -> dict[str, Any]:
    return {
        "episode_metadata": {"file_path": f"gs://lab/{result}/2023-07-07/trajectory.h5", "recording_folderpath": ""}
    }


PLAIN = ("eef_pose", 7, "eef_delta", 7)
"""State and action of a robot whose embodiment has no suffix."""

MADE: dict[str, tuple[dict[str, Any], dict[str, Any] | None, str, tuple[str, int, str, int]]] = {
    "kuka": (kuka(), {"success": True}, "kuka_iiwa", PLAIN),
    "taco_play": (taco_play(np.ones(T), CLOSING_M), None, "franka_unscaled", PLAIN),
    "jaco_play": (jaco_play(), None, "jaco_unscaled", PLAIN),
    "berkeley_autolab_ur5": (ur5(), None, "ur5", PLAIN),
    "language_table": (language_table(), None, "xarm_planar", ("eef_pose", 2, "eef_delta", 2)),
    "stanford_hydra_dataset_converted_externally_to_rlds": (hydra(), None, "franka", PLAIN),
    "nyu_franka_play_dataset_converted_externally_to_rlds": (
        nyu_franka_play(),
        None,
        "franka_no_gripper_state",
        ("eef_pose", 6, "eef_delta", 7),
    ),
    "furniture_bench_dataset_converted_externally_to_rlds": (furniture_bench(), None, "franka", PLAIN),
    "austin_sailor_dataset_converted_externally_to_rlds": (sailor(), None, "franka_unscaled", PLAIN),
    "austin_sirius_dataset_converted_externally_to_rlds": (sirius(), None, "franka_unscaled", PLAIN),
    "bc_z": (bc_z(), None, "google_robot", PLAIN),
    "dlr_edan_shared_control_converted_externally_to_rlds": (edan(), None, "edan", PLAIN),
    "cmu_stretch": (
        cmu_stretch(),
        None,
        "hello_stretch_no_turn_state_eef_target",
        ("eef_pose", 4, "eef_pose", 7),
    ),
    "fmb": (
        fmb(),
        {"episode_metadata": {"episode_language_instruction": "insert"}},
        "franka",
        PLAIN,
    ),
    "dobbe": (dobbe(), None, "hello_stretch", PLAIN),
    "droid": (droid(), filed("success"), "franka", PLAIN),
}
