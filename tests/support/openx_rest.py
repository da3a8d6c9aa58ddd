"""Smaller Open X-Embodiment sets in their published schemas: values of a few steps, and what is to come of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from tests.support.openx_writer import Stored

T = 5
RED, BLUE = (200, 30, 90), (90, 30, 200)
Values = dict[str, Any]


def numbers(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(T, n)).astype(np.float32)


def angles(n: int = 3, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.2, 1.2, (T, n)).astype(np.float32)


def turns(seed: int = 0) -> Rotation:
    return Rotation.random(T, random_state=seed)


def flat(colour: tuple[int, int, int] = RED, height: int = 32, width: int = 48) -> np.ndarray:
    return np.full((T, height, width, 3), colour, np.uint8)


def poses(by_column: bool) -> np.ndarray:
    """(t, 4, 4) homogeneous matrices."""
    found = np.tile(np.eye(4, dtype=np.float32), (T, 1, 1))
    found[:, :3, :3], found[:, :3, 3] = turns(3).as_matrix(), numbers(3, seed=4)
    return found.swapaxes(1, 2).copy() if by_column else found


def flat_of(*arrays: Any) -> np.ndarray:
    return np.column_stack([np.reshape(a, (T, -1)) for a in arrays]).astype(np.float32)


def rpy(rotation: Rotation) -> np.ndarray:
    return rotation.as_euler("xyz")


def way(place: np.ndarray, rotation: Rotation) -> np.ndarray:
    """Motions from one pose to the next, as the base sees them: [x y z roll pitch yaw]."""
    return np.hstack([np.diff(place, axis=0), rpy(rotation[1:] * rotation[:-1].inv())])


def external(observation: Values, action: np.ndarray, text: str = "do it", **more: Any) -> Values:
    """A step of the sets that others converted to RLDS."""
    embedding = np.zeros((T, 512), np.float32)
    words = {"language_instruction": text, "language_embedding": embedding}
    return {"observation": observation, "action": action, **words, **more}


LONG = "_converted_externally_to_rlds"
PUSH = np.array([-1, -1, 1, 1, -1], np.float32)
OPEN = np.array([1, 1, 0, 0, 1], np.float32)
UNIT = np.array([0, 0.25, 0.5, 1, 0.75], np.float32)


def mask_vit() -> tuple[Values, Values]:
    pose, action, state = numbers(5), flat_of(numbers(4, seed=1), PUSH), numbers(15, seed=2)
    low, high = numbers(5, seed=6), numbers(5, seed=7) + 3
    bounds = {"low_bound": low, "high_bound": high}
    seen = {"end_effector_pose": pose, "state": state, "finger_sensors": UNIT[:, None], **bounds}
    steps = external({**seen, "image": Stored(flat(), "png")}, action)
    place = low[:, :3] * (1 - pose[:, :3]) + high[:, :3] * pose[:, :3]
    expected = {
        "state": flat_of(place, pose[:, 3:])[:-1],
        "action": flat_of(action[:, :4], OPEN)[:-1],
        "raw_state": flat_of(pose, state, UNIT, low, high)[:-1],
        "raw_action": action[:-1],
    }
    return steps, expected


def lsmo() -> tuple[Values, Values]:
    state, action = numbers(13), flat_of(0.01 * numbers(6, seed=1), UNIT)
    wrapped = action.copy()
    action[2, 5] -= 2 * np.pi
    expected = {"state": state[:, [0, 1, 2, 3, 4, 5, 12]], "action": wrapped, "raw_state": state, "raw_action": action}
    return external({"image": Stored(flat(), "png"), "state": state}, action), expected


def sara(width: int) -> tuple[Values, Values]:
    state, action = numbers(width), numbers(7, seed=1)
    state[:, 3:6] = angles()
    rotation = Rotation.from_euler("zxy", state[:, 3:6])
    expected = {
        "state": flat_of(state[:, :3], rpy(rotation))[:-1],
        "action": way(state[:, :3], rotation),
        "raw_state": state[:-1],
        "raw_action": action[:-1],
    }
    return external({"image": Stored(flat(), "png"), "state": state}, action), expected


def asu() -> tuple[Values, Values]:
    joints, speeds, action, delta = (numbers(7, seed=i) for i in range(4))
    tip = {name: numbers(6, seed=9 + i) for i, name in enumerate(["EE", "bottle", "milk"])}
    steps = external(
        {"image": Stored(flat(), "png"), "state": joints, "state_vel": speeds},
        action,
        action_delta=delta,
        ground_truth_states=tip,
        action_inst="pick",
        goal_object="milk",
    )
    expected = {
        "state": flat_of(tip["EE"], joints[:, 6]),
        "action": action,
        "raw_state": flat_of(joints, speeds, tip["EE"]),
        "raw_action": flat_of(action, delta),
    }
    return steps, expected


def robocook() -> tuple[Values, Values]:
    width_m = 0.08 * UNIT
    state, action = flat_of(numbers(6), width_m), flat_of(numbers(6, seed=1), np.diff(width_m, append=width_m[-1:]))
    seen = {f"image_{k}": flat(RED if k == 1 else BLUE) for k in range(1, 5)}
    seen |= {f"depth_{k}": np.zeros((T, 8, 8), np.float32) for k in range(1, 5)}
    expected = {
        "state": flat_of(state[:, :6], UNIT),
        "action": flat_of(action[:, :6], [0.25, 0.5, 1, 0.75, 0.75]),
        "raw_state": state,
        "raw_action": action,
    }
    return external({**seen, "state": state}, action), expected


def imperial() -> tuple[Values, Values]:
    action = flat_of(numbers(3), angles(), UNIT, np.arange(T) == T - 1)
    seen = {"image": flat(BLUE), "wrist_image": flat(), "state": UNIT[:, None]}
    turn = rpy(Rotation.from_euler("ZYX", action[:, 3:6]))
    np.testing.assert_allclose(turn, action[:, [5, 4, 3]], atol=1e-5)  # about moving axes: the order reversed
    expected = {
        "state": None,
        "action": flat_of(action[:, :3], turn, UNIT),
        "raw_state": UNIT[:, None],
        "raw_action": action,
    }
    return external(seen, action), expected


def iamlab() -> tuple[Values, Values]:
    state, wxyz = flat_of(numbers(7), UNIT, numbers(12, seed=2)), turns().as_quat()[:, [3, 0, 1, 2]]
    action = flat_of(numbers(3, seed=1), 2.0 * wxyz, OPEN)
    seen = {"image": Stored(flat(), "png"), "wrist_image": Stored(flat(BLUE), "png"), "state": state}
    expected = {
        "state": state[:, :8],
        "action": flat_of(action[:, :3], rpy(turns()), OPEN),
        "raw_state": state,
        "raw_action": action,
    }
    return external(seen, action), expected


def d3field() -> tuple[Values, Values]:
    pose, action = poses(by_column=False), numbers(3)
    seen: Values = {f"image_{k}": Stored(flat(RED if k == 1 else BLUE), "png") for k in range(1, 5)}
    seen |= {f"depth_{k}": Stored(np.ones((T, 8, 8, 1), np.uint16), "png") for k in range(1, 5)}
    expected = {
        "state": flat_of(pose[:, :3, 3], rpy(turns(3)))[:-1],
        "action": way(pose[:, :3, 3], turns(3)),
        "raw_state": pose.reshape(T, 16)[:-1],
        "raw_action": action[:-1],
    }
    return external({**seen, "state": pose}, action), expected


def mutex() -> tuple[Values, Values]:
    pose = poses(by_column=True)
    state = flat_of(numbers(7), 0.08 * UNIT, pose)
    action = flat_of(numbers(6, seed=1), [1, -1, -1, 1, 1])
    seen = {"image": Stored(flat(BLUE), "png"), "wrist_image": Stored(flat(RED), "png"), "state": state}
    expected = {
        "state": flat_of(pose[:, 3, :3], rpy(turns(3)), UNIT),
        "action": flat_of(action[:, :6], [0, 1, 1, 0, 0]),
        "raw_state": state,
        "raw_action": action,
    }
    return external(seen, action), expected


def fanuc() -> tuple[Values, Values]:
    joints, tip, action = numbers(13), flat_of(numbers(3, seed=1), turns().as_quat()), numbers(6, seed=2)
    joints[:, 6] = UNIT
    seen = {"image": Stored(flat(BLUE), "png"), "wrist_image": Stored(flat(RED), "png")}
    expected = {
        "state": flat_of(tip[:, :3], rpy(turns()), UNIT),
        "action": flat_of(action, [0.25, 0.5, 1, 0.75, 0.75]),
        "raw_state": flat_of(joints, tip),
        "raw_action": action,
    }
    return external({**seen, "state": joints, "end_effector_state": tip}, action), expected


def play_fusion() -> tuple[Values, Values]:
    state, action = numbers(8), flat_of(numbers(3, seed=1), turns().as_quat(), UNIT, np.arange(T) == T - 1)
    action[-1, 3:7] = 0
    turn = rpy(turns())
    turn[-1] = 0
    expected = {
        "state": state,
        "action": flat_of(action[:, :3], turn, UNIT),
        "raw_state": state,
        "raw_action": action,
    }
    return external({"image": Stored(flat(), "png"), "state": state}, action), expected


def gnm() -> tuple[Values, Values]:
    state, wrapped = numbers(3), numbers(3, seed=1)
    angle = wrapped + np.array([0, 0, 2 * np.pi], np.float32)
    wide = {"state": state, "position": state[:, :2], "yaw": state[:, 2:]}
    seen = {key: value.astype(np.float64) for key, value in wide.items()}
    target, both = angle[:, :2].astype(np.float64), angle.astype(np.float64)
    steps = external({**seen, "image": Stored(flat(), "png")}, target, action_angle=both)
    expected = {
        "state": state,
        "action": wrapped,
        "raw_state": flat_of(*wide.values()),
        "raw_action": flat_of(angle[:, :2], angle),
    }
    return steps, expected


def robo_set() -> tuple[Values, Values]:
    state, speed, action = numbers(8), numbers(8, seed=1), flat_of(numbers(7, seed=2), PUSH)
    views = {"image_left": RED, "image_right": BLUE, "image_top": BLUE, "image_wrist": BLUE}
    seen = {**{key: flat(colour) for key, colour in views.items()}, "state": state, "state_velocity": speed}
    steps = {"observation": seen, "action": action, "language_instruction": "do it"}
    expected = {
        "state": state,
        "action": flat_of(action[:, :7], OPEN),
        "raw_state": flat_of(state, speed),
        "raw_action": action,
    }
    return steps, expected


def tdroid() -> tuple[Values, Values]:
    pose, action = numbers(6), flat_of(numbers(6, seed=1), [1.0, 0.5, 0.0, 0.3, 0.99])
    seen = {"static_image": flat(), "cartesian_position": pose, "gripper_position": UNIT[:, None]}
    expected = {
        "state": flat_of(pose, UNIT),
        "action": flat_of(action[:, :6], [1, 0, 0, 1, 1]),
        "raw_state": flat_of(pose, UNIT),
        "raw_action": action,
    }
    return {"observation": seen, "action": action, "language_instruction": "do it"}, expected


def droid_wipe() -> tuple[Values, Values]:
    pose, speed, closing = numbers(6), angles(6), UNIT[::-1].copy()
    speed[0, :3] = [3, 0, 4]
    shortened = np.hstack([v / np.maximum(1, np.linalg.norm(v, axis=1))[:, None] for v in (speed[:, :3], speed[:, 3:])])
    seen = {"exterior_image_2_left": flat(), "wrist_image_left": flat(BLUE)}
    seen |= {"cartesian_position": pose.astype(np.float64), "gripper_position": UNIT[:, None].astype(np.float64)}
    asked = {"cartesian_velocity": speed.astype(np.float64), "gripper_position": closing[:, None].astype(np.float64)}
    steps = {"observation": seen, "action_dict": asked, "language_instruction": "do it"}
    expected = {
        "state": flat_of(pose, 1 - UNIT),
        "action": flat_of(shortened * [0.075, 0.075, 0.075, 0.15, 0.15, 0.15], 1 - closing),
        "raw_state": flat_of(pose, UNIT),
        "raw_action": flat_of(speed, closing),
    }
    return steps, expected


def food() -> tuple[Values, Values]:
    force, identity = numbers(6), np.tile([1, 0, 0, 0], (T, 1))
    action = flat_of(numbers(3, seed=1), identity, OPEN)
    seen = {"image": flat(BLUE), "finger_vision_1": flat(RED), "finger_vision_2": np.zeros_like(flat())}
    steps = external({**{key: Stored(value, "png") for key, value in seen.items()}, "state": force}, action)
    place = flat_of(action[:, :3], OPEN)
    return steps, {"state": None, "action": place, "raw_state": force, "raw_action": action}


def aloha(width: int, *cameras: str) -> tuple[Values, Values]:
    state, action = numbers(14), numbers(width, seed=1)
    seen = {camera: flat(RED if camera == "cam_high" else BLUE) for camera in cameras}
    steps = {"observation": {**seen, "state": state}, "action": action, "language_instruction": "do it"}
    return steps, {"state": state, "action": action, "raw_state": state, "raw_action": action}


CASES: dict[str, tuple[Callable[[], tuple[Values, Values]], str, float, str, int, int]] = {
    # source: values and what is to come of them; cameras; rate; encodings; widths of state and action
    f"stanford_mask_vit{LONG}": (mask_vit, "primary", 1, "eef_pose eef_delta", 5, 5),
    f"tokyo_u_lsmo{LONG}": (lsmo, "primary", 10, "eef_pose eef_delta", 7, 7),
    f"dlr_sara_pour{LONG}": (lambda: sara(6), "primary", 10, "eef_pose eef_delta", 6, 6),
    f"dlr_sara_grid_clamp{LONG}": (lambda: sara(12), "primary", 10, "eef_pose eef_delta", 6, 6),
    f"asu_table_top{LONG}": (asu, "primary", 12.5, "eef_pose joint_velocity", 7, 7),
    f"stanford_robocook{LONG}": (robocook, "primary secondary", 5, "eef_pose eef_delta", 7, 7),
    "imperialcollege_sawyer_wrist_cam": (imperial, "primary", 10, "none eef_delta", 0, 7),
    f"iamlab_cmu_pickup_insert{LONG}": (iamlab, "primary wrist", 20, "joint_position eef_pose", 8, 7),
    "uiuc_d3field": (d3field, "primary secondary", 1, "eef_pose eef_delta", 6, 6),
    "utaustin_mutex": (mutex, "primary wrist", 20, "eef_pose eef_delta", 7, 7),
    "berkeley_fanuc_manipulation": (fanuc, "primary wrist", 10, "eef_pose eef_delta", 7, 7),
    "cmu_playing_with_food": (food, "primary wrist", 15, "none eef_pose", 0, 4),
    "cmu_play_fusion": (play_fusion, "primary", 5, "joint_position eef_delta", 8, 7),
    "berkeley_gnm_recon": (gnm, "primary", 3, "eef_pose eef_delta", 3, 3),
    "berkeley_gnm_cory_hall": (gnm, "primary", 5, "eef_pose eef_delta", 3, 3),
    "berkeley_gnm_sac_son": (gnm, "primary", 10, "eef_pose eef_delta", 3, 3),
    "robo_set": (robo_set, "primary secondary wrist", 5, "joint_position joint_position", 8, 8),
    "tdroid": (tdroid, "primary", 5, "eef_pose eef_delta", 7, 7),
    "droid_wipe": (droid_wipe, "primary wrist", 15, "eef_pose eef_delta", 7, 7),
    "aloha_mobile": (
        lambda: aloha(16, "cam_high", "cam_left_wrist", "cam_right_wrist"),
        "primary wrist wrist_2",
        50,
        "joint_position mixed",
        14,
        16,
    ),
    "aloha_static_dataset": (
        lambda: aloha(14, "cam_high", "cam_low", "cam_right_wrist"),
        "primary secondary wrist",
        50,
        "joint_position joint_position",
        14,
        14,
    ),
}
PUBLISHED_AS = {"tdroid": "tdroid_carrot_in_bowl"}
BARE = {
    *(f"stanford_robocook{LONG}", f"iamlab_cmu_pickup_insert{LONG}", "droid_wipe"),
    *("berkeley_gnm_recon", "berkeley_gnm_cory_hall", "berkeley_gnm_sac_son"),
}
"""Documented well enough to leave nothing open."""
WITHOUT_LAST = {f"stanford_mask_vit{LONG}", f"dlr_sara_pour{LONG}", f"dlr_sara_grid_clamp{LONG}", "uiuc_d3field"}
"""The last step has no action."""
