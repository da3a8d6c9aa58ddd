"""What all RLDS sources do with shards, pictures and damaged records; shown on Meta-World and Fetch."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from dataengine.formats import rlds, tfrecord
from tests.support.rlds_writer import write

SIDE = 128
LENGTHS = [6, 4, 9]


def jpeg_feature() -> Any:
    import tensorflow_datasets as tfds

    return tfds.features.Image(shape=(SIDE, SIDE, 3), encoding_format="jpeg")


def step_flags() -> dict[str, Any]:
    import tensorflow_datasets as tfds

    scalar = tfds.features.Scalar
    return {
        "reward": scalar(np.float32),
        "discount": scalar(np.float32),
        "is_first": scalar(np.bool_),
        "is_last": scalar(np.bool_),
        "is_terminal": scalar(np.bool_),
    }


def flags(i: int, num_steps: int) -> dict[str, Any]:
    last = i == num_steps - 1
    return {"reward": float(last), "discount": 1.0, "is_first": i == 0, "is_last": last, "is_terminal": last}


def vector(n: int) -> Any:
    import tensorflow_datasets as tfds

    return tfds.features.Tensor(shape=(n,), dtype=np.float32)


def write_metaworld(folder: Path, num_shards: int = 1) -> Path:
    import tensorflow_datasets as tfds

    f = tfds.features
    features = f.FeaturesDict(
        {
            "steps": f.Dataset(
                {
                    "observation": {
                        "image": jpeg_feature(),
                        "hand_pos": vector(3),
                        "gripper_opening": vector(1),
                        "natural_language_instruction": f.Text(),
                    },
                    "action": {"world_vector": vector(3), "gripper_closedness_action": vector(1)},
                    **step_flags(),
                }
            ),
            "episode_metadata": {"task": f.Text(), "seed": np.int64, "success": np.bool_},
        }
    )
    rng = np.random.default_rng(0)

    def step(i: int, num_steps: int) -> dict:
        return {
            "observation": {
                "image": rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8),
                "hand_pos": rng.uniform(-0.5, 0.7, 3).astype(np.float32),
                "gripper_opening": rng.uniform(0, 1.2, 1).astype(np.float32),
                "natural_language_instruction": "press the button",
            },
            "action": {
                "world_vector": rng.uniform(-1, 1, 3).astype(np.float32),
                "gripper_closedness_action": np.array([1.0 if i > 2 else -1.0], np.float32),
            },
            **flags(i, num_steps),
        }

    records = [
        {
            "steps": [step(i, n) for i in range(n)],
            "episode_metadata": {"task": "button-press-topdown", "seed": number, "success": True},
        }
        for number, n in enumerate(LENGTHS)
    ]
    return write(folder, "metaworld", features, {"train": records}, num_shards=num_shards)


def write_fetch(folder: Path) -> Path:
    import tensorflow_datasets as tfds

    f = tfds.features
    features = f.FeaturesDict(
        {
            "steps": f.Dataset(
                {
                    "observation": {"image": jpeg_feature(), "wrist_image": jpeg_feature(), "state": vector(8)},
                    "action": vector(4),
                    "language_instruction": f.Text(),
                    **step_flags(),
                }
            ),
            "episode_metadata": {"task": f.Text(), "seed": np.int64, "success": np.bool_, "file_path": f.Text()},
        }
    )
    rng = np.random.default_rng(1)

    def step(i: int, num_steps: int) -> dict:
        fingers = np.array([0.05, 0.05]) if i < 2 else np.array([0.0, 0.02])
        return {
            "observation": {
                "image": rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8),
                "wrist_image": rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8),
                "state": np.concatenate([rng.uniform(0, 1, 3), fingers, rng.normal(size=3)]).astype(np.float32),
            },
            "action": np.append(rng.uniform(-1, 1, 3), -1.0 if i else 1.0).astype(np.float32),
            "language_instruction": "push the cube",
            **flags(i, num_steps),
        }

    records = [
        {
            "steps": [step(i, n) for i in range(n)],
            "episode_metadata": {"task": "push", "seed": number, "success": True, "file_path": ""},
        }
        for number, n in enumerate(LENGTHS)
    ]
    return write(folder, "fetch_mujoco", features, {"train": records})


@pytest.fixture(scope="module")
def metaworld(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_metaworld(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def fetch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fetch(tmp_path_factory.mktemp("raw"))


def read_all(name: str, root: Path, **settings: Any) -> list[Episode | Reject]:
    source = pickle.loads(pickle.dumps(catalog.source(name)(str(root), **settings)))
    return [outcome for part in source.parts() for outcome in source.read(part)]


def episodes_of(name: str, root: Path, **settings: Any) -> list[Episode]:
    outcomes = read_all(name, root, **settings)
    assert all(isinstance(item, Episode) for item in outcomes), outcomes
    return outcomes


def test_images_that_fit_keep_their_bytes(fetch: Path) -> None:
    records = list(rlds.episodes(fetch))
    for episode, record in zip(episodes_of("openx/fetch", fetch), records, strict=True):
        assert episode.cameras["primary"].jpegs == record["steps"]["observation"]["image"]
        assert episode.cameras["wrist"].jpegs == record["steps"]["observation"]["wrist_image"]
        assert (episode.cameras["wrist"].height, episode.cameras["wrist"].native_width) == (SIDE, SIDE)


def test_images_that_are_too_large_are_scaled_once_and_say_their_native_size(fetch: Path) -> None:
    for episode in episodes_of("openx/fetch", fetch, frame_size=64):
        frames = episode.cameras["primary"]
        assert (frames.height, frames.width, frames.native_height, frames.native_width) == (64, 64, SIDE, SIDE)
        assert all(simplejpeg.decode_jpeg(jpeg).shape == (64, 64, 3) for jpeg in frames.jpegs)


def test_parts_are_the_shards_and_keep_their_identity_when_the_folder_moves(tmp_path: Path) -> None:
    root = write_metaworld(tmp_path / "here", num_shards=3)
    parts = catalog.source("openx/metaworld")(str(root)).parts()
    assert [part.name for part in parts] == [f"metaworld-train.tfrecord-0000{i}-of-00003" for i in range(3)]
    moved = tmp_path / "there"
    root.rename(moved)
    again = catalog.source("openx/metaworld")(str(moved)).parts()
    assert [(p.part_id, p.fingerprint) for p in again] == [(p.part_id, p.fingerprint) for p in parts]
    ids = {episode.episode_id for episode in episodes_of("openx/metaworld", moved)}
    assert len(ids) == len(LENGTHS)
    assert sorted(e.num_steps for e in episodes_of("openx/metaworld", moved)) == sorted(LENGTHS)


def test_a_changed_shard_changes_its_fingerprint_and_not_its_identity(tmp_path: Path) -> None:
    root = write_metaworld(tmp_path)
    (before,) = catalog.source("openx/metaworld")(str(root)).parts()
    path = Path(before.uri)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    (after,) = catalog.source("openx/metaworld")(str(root)).parts()
    assert before.part_id == after.part_id
    assert before.fingerprint != after.fingerprint


def rewrite(root: Path, edit: Callable[[Any], None]) -> None:
    """Edit the first record of the only shard as a protobuf."""
    from tensorflow.train import Example

    (shard,) = rlds.shards(root)
    payloads = [payload for _, payload in tfrecord.records(shard.uri)]
    message = Example.FromString(payloads[0])
    edit(message.features.feature)
    payloads[0] = message.SerializeToString()
    Path(shard.uri).write_bytes(b"".join(tfrecord.frame(payload) for payload in payloads))


def not_a_number(features: Any) -> None:
    features["steps/observation/hand_pos"].float_list.value[4] = np.nan


def no_steps(features: Any) -> None:
    for feature in features.values():
        for kind in ("bytes_list", "float_list", "int64_list"):
            if feature.HasField(kind):
                del getattr(feature, kind).value[:]
    features["episode_metadata/task"].bytes_list.value.append(b"")
    features["episode_metadata/seed"].int64_list.value.append(0)
    features["episode_metadata/success"].int64_list.value.append(0)


def cut_image(features: Any) -> None:
    images = features["steps/observation/image"].bytes_list.value
    images[1] = images[1][:1000]


def no_image(features: Any) -> None:
    features["steps/observation/image"].bytes_list.value[2] = b"not an image"


def other_size(features: Any) -> None:
    image = simplejpeg.encode_jpeg(np.zeros((32, 48, 3), np.uint8))
    features["steps/observation/image"].bytes_list.value[3] = image


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (not_a_number, "state[1, 1] is nan, expected a finite number"),
        (no_steps, "the episode has no steps"),
        (cut_image, "steps/observation/image: frame 1 (1000 bytes): truncated JPEG: the end mark is missing"),
        (no_image, "steps/observation/image: frame 2 (12 bytes): not an image: starts with 6e6f7420616e2069"),
        (other_size, "steps/observation/image: frame 3 is 32x48, expected 128x128 as in frame 0"),
        (lambda f: f.pop("steps/action/world_vector"), "key 'steps/action/world_vector' is missing"),
        (lambda f: f["steps/reward"].float_list.value.append(0), "key 'steps/reward' holds"),
    ],
)
def test_a_bad_record_is_rejected_with_its_reason_and_the_rest_arrives(
    metaworld: Path, tmp_path: Path, edit: Callable[[Any], None], reason: str
) -> None:
    for file in metaworld.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    rewrite(tmp_path, edit)
    first, *rest = read_all("openx/metaworld", tmp_path)
    assert isinstance(first, Reject)
    assert first.reason.startswith(reason)
    assert (first.record, first.error, "\n" in first.reason) == ("0", "RecordError", False)
    assert [type(outcome) for outcome in rest] == [Episode, Episode]


def test_a_missing_shard_is_one_rejected_part(tmp_path: Path) -> None:
    root = write_metaworld(tmp_path, num_shards=3)
    (root / "metaworld-train.tfrecord-00001-of-00003").unlink()
    outcomes = read_all("openx/metaworld", root)
    assert [type(item) for item in outcomes] == [Episode, Reject, Episode]
    assert (outcomes[1].record, outcomes[1].reason) == ("", "the shard is missing; download it")
    for path in root.glob("metaworld-*"):
        path.unlink()
    with pytest.raises(SourceError, match="found none of the 3 shards"):
        catalog.source("openx/metaworld")(str(root)).parts()


def test_another_dataset_is_named_with_what_it_lacks(fetch: Path) -> None:
    with pytest.raises(SourceError, match="holds 'fetch_mujoco', which lacks steps/observation/hand_pos"):
        catalog.source("openx/metaworld")(str(fetch)).parts()
