"""LIBERO, BridgeData V2 and RT-1 in their published schemas, written small by real tfds builders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from scipy.spatial.transform import Rotation

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support.rlds_writer import read, write

T = 8
RNG = np.random.default_rng(0)


def tensor(n: int, dtype: type = np.float32) -> Any:
    import tensorflow_datasets as tfds

    return tfds.features.Tensor(shape=(n,), dtype=dtype)


def image(height: int, width: int) -> Any:
    import tensorflow_datasets as tfds

    return tfds.features.Image(shape=(height, width, 3), dtype=np.uint8, encoding_format="jpeg")


def scalars(*names: str, dtype: type = np.float32) -> dict[str, Any]:
    import tensorflow_datasets as tfds

    return {name: tfds.features.Scalar(dtype=dtype) for name in names}


def flags() -> dict[str, Any]:
    return {**scalars("reward", "discount"), **scalars("is_first", "is_last", "is_terminal", dtype=np.bool_)}


def flag_values(i: int) -> dict[str, Any]:
    last = i == T - 1
    return {"reward": float(last), "discount": 1.0, "is_first": i == 0, "is_last": last, "is_terminal": last}


def picture(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_libero(folder: Path) -> Path:
    import tensorflow_datasets as tfds

    f = tfds.features
    observation = {
        "image": image(256, 256),
        "wrist_image": image(256, 256),
        "state": tensor(8),
        "joint_state": tensor(7),
    }
    step = {"observation": observation, "action": tensor(7), "language_instruction": f.Text(), **flags()}
    features = f.FeaturesDict({"steps": f.Dataset(step), "episode_metadata": {"file_path": f.Text()}})
    steps = [
        {
            "observation": {
                "image": picture(256, 256),
                "wrist_image": picture(256, 256),
                "state": np.concatenate([RNG.normal(size=6), [0.04 - 0.005 * i, -0.04 + 0.005 * i]]).astype(np.float32),
                "joint_state": RNG.normal(size=7).astype(np.float32),
            },
            "action": np.append(RNG.uniform(-1, 1, 6), -1 if i < 3 else 1).astype(np.float32),
            "language_instruction": "open the middle drawer",
            **flag_values(i),
        }
        for i in range(T)
    ]
    return write(
        folder, "libero_goal_no_noops", features, {"train": [{"steps": steps, "episode_metadata": {"file_path": ""}}]}
    )


def write_bridge(folder: Path) -> Path:
    import tensorflow_datasets as tfds

    f = tfds.features
    observation = {**{f"image_{k}": image(256, 256) for k in range(4)}, "state": tensor(7)}
    step = {
        "observation": observation,
        "action": tensor(7),
        "language_instruction": f.Text(),
        "language_embedding": tensor(512),
        **flags(),
    }
    metadata = {
        "file_path": f.Text(),
        "episode_id": f.Scalar(dtype=np.int32),
        **scalars(*(f"has_image_{k}" for k in range(4)), "has_language", dtype=np.bool_),
    }
    features = f.FeaturesDict({"steps": f.Dataset(step), "episode_metadata": metadata})
    grippers = [0.0, 1.0, 0.8, 0.3, 0.02, 0.5, 1.0, 0.6]

    def episode(number: int, num_steps: int) -> dict:
        state = np.cumsum(RNG.normal(scale=0.1, size=(num_steps, 7)), axis=0)
        state[num_steps // 2 :, 5] += 2 * np.pi  # a recorded yaw that wraps around
        steps = [
            {
                "observation": {
                    **{f"image_{k}": picture(256, 256) for k in range(4)},
                    "image_1": picture(256, 256) if number else np.zeros((256, 256, 3), np.uint8),
                    "state": state[i].astype(np.float32),
                },
                "action": np.append(RNG.normal(size=6) * (i > 0), grippers[i]).astype(np.float32),
                "language_instruction": "put the pot in the sink" if number else "",
                "language_embedding": np.zeros(512, np.float32),
                **flag_values(i),
            }
            for i in range(num_steps)
        ]
        flags_of_metadata = dict.fromkeys([*(f"has_image_{k}" for k in range(4)), "has_language"], False)
        return {"steps": steps, "episode_metadata": {"file_path": "", "episode_id": number, **flags_of_metadata}}

    splits = {"train": [episode(0, T), episode(1, T), episode(2, 2)], "val": [episode(3, 3)]}
    return write(folder, "bridge_dataset", features, splits)


def write_fractal(folder: Path) -> Path:
    import tensorflow_datasets as tfds

    f = tfds.features
    boxes = {
        "orientation_box": f.Tensor(shape=(2, 3), dtype=np.float32),
        "robot_orientation_positions_box": f.Tensor(shape=(3, 3), dtype=np.float32),
        "workspace_bounds": f.Tensor(shape=(3, 3), dtype=np.float32),
    }
    vectors = {
        "base_pose_tool_reached": 7,
        "gripper_closed": 1,
        "gripper_closedness_commanded": 1,
        "height_to_bottom": 1,
        "natural_language_embedding": 512,
        "orientation_start": 4,
        "rotation_delta_to_go": 3,
        "src_rotation": 4,
        "vector_to_go": 3,
    }
    observation = {
        "image": image(256, 320),
        "natural_language_instruction": np.str_,
        **{name: tensor(n) for name, n in vectors.items()},
        **boxes,
    }
    action = {
        "base_displacement_vector": tensor(2),
        "base_displacement_vertical_rotation": tensor(1),
        "gripper_closedness_action": tensor(1),
        "rotation_delta": tensor(3),
        "terminate_episode": tensor(3, np.int32),
        "world_vector": tensor(3),
    }
    step = {"observation": observation, "action": action, **scalars("reward")}
    step |= scalars("is_first", "is_last", "is_terminal", dtype=np.bool_)
    aspects = {"already_success": np.bool_, "feasible": np.bool_, "success": np.bool_, "undesirable": np.bool_}
    features = f.FeaturesDict(
        {
            "steps": f.Dataset(step),
            "aspects": {"has_aspects": np.bool_, **aspects},
            "attributes": {"collection_mode": np.int64, "collection_mode_name": np.str_, "env": np.int64},
        }
    )
    commands = [0, 0, 1, 0, 0, -1, 0, 0]
    rotations = Rotation.random(T, random_state=0).as_quat()
    steps = []
    for i in range(T):
        seen = {name: RNG.normal(size=n).astype(np.float32) for name, n in vectors.items()}
        seen["base_pose_tool_reached"][3:] = rotations[i]
        seen["gripper_closed"] = np.array([0.25 * (i % 5)], np.float32)
        steps.append(
            {
                "observation": {
                    "image": picture(256, 320),
                    "natural_language_instruction": "pick coke can",
                    **seen,
                    **{name: np.zeros(feature.shape, np.float32) for name, feature in boxes.items()},
                },
                "action": {
                    "base_displacement_vector": np.zeros(2, np.float32),
                    "base_displacement_vertical_rotation": np.zeros(1, np.float32),
                    "gripper_closedness_action": np.array([commands[i]], np.float32),
                    "rotation_delta": RNG.normal(size=3).astype(np.float32),
                    "terminate_episode": np.array([0, 0, 1] if i < T - 1 else [1, 0, 0], np.int32),
                    "world_vector": RNG.normal(size=3).astype(np.float32),
                },
                **{key: value for key, value in flag_values(i).items() if key != "discount"},
            }
        )
    record = {
        "steps": steps,
        "aspects": {"has_aspects": True, **dict.fromkeys(aspects, False)},
        "attributes": {"collection_mode": 1, "collection_mode_name": "teleop", "env": 2},
    }
    return write(folder, "fractal20220817_data", features, {"train": [record]}, version="0.1.0")


Roots = Callable[[str], Path]
WRITERS = {"libero": write_libero, "bridge_orig": write_bridge, "fractal20220817_data": write_fractal}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: writer(tmp_path_factory.mktemp(name)) for name, writer in WRITERS.items()}


def read_all(name: str, root: Path) -> list[Episode | Reject]:
    source = catalog.source(f"openx/{name}")(str(root))
    return [found for part in source.parts() for found in source.read(part)]


def stacked(record: dict, *path: str) -> np.ndarray:
    rows = []
    for step in record["steps"]:
        for name in path:
            step = step[name]
        rows.append(step)
    return np.array(rows)


def test_libero_becomes_metres_radians_and_openness(roots: dict[str, Path]) -> None:
    (episode,), (record,) = read_all("libero", roots["libero"]), read(roots["libero"], "train")
    state, action = stacked(record, "observation", "state"), stacked(record, "action")
    np.testing.assert_array_equal(episode.raw_state, state)
    np.testing.assert_array_equal(episode.raw_action, action)
    np.testing.assert_array_equal(episode.state[:, :3], state[:, :3])
    np.testing.assert_allclose(episode.state[:, 3:6], Rotation.from_rotvec(state[:, 3:6]).as_euler("xyz"), atol=1e-5)
    np.testing.assert_allclose(episode.state[:, 6], [1 - 0.125 * i for i in range(T)], atol=1e-5)
    np.testing.assert_allclose(episode.action[:, :3], action[:, :3] * 0.05, atol=1e-6)
    turn = Rotation.from_rotvec(action[:, 3:6] * 0.5).as_euler("xyz")
    np.testing.assert_allclose(episode.action[:, 3:6], turn, atol=1e-5)
    assert episode.action[:, 6].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert (sorted(episode.cameras), episode.control_hz) == (["primary", "wrist"], 20.0)
    assert episode.instruction == ["open the middle drawer"]


def test_bridge_is_relabelled_from_reached_states_without_first_and_last_step(roots: dict[str, Path]) -> None:
    found = {
        e.instruction != []: e for e in read_all("bridge_orig", roots["bridge_orig"])[:3] if isinstance(e, Episode)
    }
    records = {
        r["steps"][0]["language_instruction"] != b"": r
        for r in read(roots["bridge_orig"], "train")
        if len(r["steps"]) > 2
    }
    for labelled, episode in found.items():
        state, action = stacked(records[labelled], "observation", "state"), stacked(records[labelled], "action")
        assert episode.num_steps == T - 2
        np.testing.assert_array_equal(episode.raw_state, state[1:-1])
        np.testing.assert_array_equal(episode.raw_action, action[1:-1])
        np.testing.assert_allclose(episode.action[:, :3], state[2:, :3] - state[1:-1, :3], atol=1e-6)
        assert np.abs(episode.action[:, 3:6]).max() < 1.0  # the turn of 2 pi is gone
        assert episode.action[:, 6].tolist() == [1, 0, 0, 0, 1, 1]
        frames = stacked(records[labelled], "observation", "image_0")[1:-1]
        shown = np.array([simplejpeg.decode_jpeg(data) for data in episode.cameras["primary"].jpegs])
        assert np.abs(shown.astype(int) - frames).mean() < 3  # two JPEG decoders; another frame would be 85 away


def test_bridge_drops_a_camera_that_was_not_there_and_rejects_what_is_too_short(roots: dict[str, Path]) -> None:
    found = read_all("bridge_orig", roots["bridge_orig"])
    (reject,) = [item for item in found if isinstance(item, Reject)]
    assert reject.reason == "2 steps are too few for the conversion"
    episodes = [item for item in found if isinstance(item, Episode)]
    assert {bool(e.instruction): sorted(e.cameras) for e in episodes} == {
        False: ["primary"],
        True: ["primary", "secondary"],
    }
    assert sorted(e.split for e in episodes) == ["train", "train", "val"]
    assert [e.num_steps for e in episodes if e.split == "val"] == [1]


def test_fractal_becomes_euler_angles_and_an_absolute_gripper(roots: dict[str, Path]) -> None:
    root = roots["fractal20220817_data"]
    (episode,), (record,) = read_all("fractal20220817_data", root), read(root, "train")
    pose, closed = (
        stacked(record, "observation", "base_pose_tool_reached"),
        stacked(record, "observation", "gripper_closed"),
    )
    np.testing.assert_array_equal(episode.state[:, :3], pose[:, :3])
    np.testing.assert_allclose(episode.state[:, 3:6], Rotation.from_quat(pose[:, 3:]).as_euler("xyz"), atol=1e-5)
    np.testing.assert_allclose(episode.state[:, 6:], 1 - closed, atol=1e-6)
    np.testing.assert_array_equal(episode.action[:, :3], stacked(record, "action", "world_vector"))
    np.testing.assert_array_equal(episode.action[:, 3:6], stacked(record, "action", "rotation_delta"))
    assert episode.action[:, 6].tolist() == [1, 1, 0, 0, 0, 1, 1, 1]
    assert (episode.raw_state.shape, episode.raw_action.shape) == ((T, 8), (T, 13))
    np.testing.assert_array_equal(episode.raw_action[-1, -3:], [1, 0, 0])
    frames = episode.cameras["primary"]
    assert (frames.height, frames.width, frames.native_height, frames.native_width) == (256, 256, 256, 320)
    assert episode.time_ns[1] == 333_333_333


def test_a_schema_of_other_widths_is_refused(roots: dict[str, Path]) -> None:
    with pytest.raises(
        SourceError, match=r"whose steps/observation/state has shape \(7,\); openx/libero has 8 numbers there"
    ):
        root = roots["bridge_orig"]
        source = catalog.source("openx/libero")
        monkey = type("Renamed", (source,), {"cameras": {"primary": "image_0"}})
        monkey(str(root)).parts()
