"""BridgeData V2 in its published schema, written by a real tfds builder: two splits, cameras and texts that lack."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from dataengine.episode import Episode, Reject
from tests.support.openx_case import case_of, is_close, read_all, read_one
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


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bridge(tmp_path_factory.mktemp("bridge"))


def stacked(record: dict, *path: str) -> np.ndarray:
    rows = []
    for step in record["steps"]:
        for name in path:
            step = step[name]
        rows.append(step)
    return np.array(rows)


def test_motion_is_relabelled_from_reached_states_without_first_and_last_step(root: Path) -> None:
    by_name = {e.instruction != []: e for e in read_all("bridge_orig", root)[:3] if isinstance(e, Episode)}
    records = {r["steps"][0]["language_instruction"] != b"": r for r in read(root, "train") if len(r["steps"]) > 2}
    for labelled, episode in by_name.items():
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


def test_a_camera_that_was_not_there_is_dropped_and_what_is_too_short_rejected(root: Path) -> None:
    outcomes = read_all("bridge_orig", root)
    (reject,) = [item for item in outcomes if isinstance(item, Reject)]
    assert reject.reason == "2 steps are too few for the conversion"
    episodes = [item for item in outcomes if isinstance(item, Episode)]
    assert {bool(e.instruction): sorted(e.cameras) for e in episodes} == {
        False: ["primary"],
        True: ["primary", "secondary"],
    }
    assert sorted(e.split for e in episodes) == ["train", "train", "val"]
    assert [e.num_steps for e in episodes if e.split == "val"] == [1]


def test_the_first_step_is_kept_on_demand(tmp_path: Path) -> None:
    case = case_of("bridge_orig")
    state = case.steps["observation"]["state"]
    whole = read_one("bridge_orig", tmp_path, case, keep_first_step=True)
    is_close(whole.raw_state, state[:-1])
    is_close(whole.action[:, :3], np.diff(state[:, :3], axis=0))
    assert sorted(whole.cameras) == ["primary", "secondary"]
