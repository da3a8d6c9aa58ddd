"""Our RLDS reader against tfds itself, value by value, and against files that are broken on purpose."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rlds_writer import read, write

from dataengine.errors import RecordError, SourceError
from dataengine.formats import example, rlds, tfrecord
from dataengine.formats import features as feature_tree

LENGTHS = [5, 1, 7, 3]


def all_kinds() -> Any:
    """Every feature that the reader claims to read."""
    import tensorflow_datasets as tfds

    f = tfds.features
    return f.FeaturesDict(
        {
            "steps": f.Dataset(
                {
                    "is_first": f.Tensor(shape=(), dtype=np.bool_),
                    "is_last": np.bool_,
                    "reward": f.Scalar(dtype=np.float32),
                    "discount": f.Scalar(dtype=np.float64),
                    "language_instruction": f.Text(),
                    "action": f.FeaturesDict(
                        {
                            "world_vector": f.Tensor(shape=(3,), dtype=np.float32),
                            "open": f.Tensor(shape=(1,), dtype=np.int32),
                        }
                    ),
                    "observation": f.FeaturesDict(
                        {
                            "jpeg": f.Image(shape=(24, 32, 3), encoding_format="jpeg"),
                            "png": f.Image(shape=(8, 8, 3), encoding_format="png"),
                            "unnamed": f.Image(shape=(8, 8, 3)),
                            "depth16": f.Image(shape=(6, 7, 1), dtype=np.uint16, encoding_format="png"),
                            "depth32": f.Image(shape=(6, 7, 1), dtype=np.float32, encoding_format="png"),
                            "word": np.str_,
                            "words3": f.Tensor(shape=(3,), dtype=np.str_),
                            "label": f.ClassLabel(names=["cup", "box"]),
                            "matrix": f.Tensor(shape=(2, 3), dtype=np.float64),
                            "unsigned": f.Tensor(shape=(2,), dtype=np.uint64),
                            "small": f.Tensor(shape=(4,), dtype=np.uint8),
                            "as_bytes": f.Tensor(shape=(2, 2), dtype=np.float64, encoding="bytes"),
                            "as_zlib": f.Tensor(shape=(5,), dtype=np.int16, encoding="zlib"),
                            "cloud": f.Tensor(shape=(None, 2), dtype=np.float32, encoding="zlib"),
                            "grid": f.Tensor(shape=(None, None), dtype=np.float32, encoding="zlib"),
                            "deep": f.FeaturesDict({"xyz": f.Tensor(shape=(3,), dtype=np.float32)}),
                            "clip/pose": f.Tensor(shape=(2,), dtype=np.float32),
                            "ragged": f.Sequence(np.int64),
                            "tokens": f.Sequence(f.Text()),
                            "crops": f.Sequence(f.Image(shape=(4, 4, 3), encoding_format="png")),
                            "boxes": f.Sequence({"box": f.BBoxFeature(), "score": np.float32}),
                            "nested": f.Sequence(f.Sequence(np.int64)),
                        }
                    ),
                }
            ),
            "episode_metadata": f.FeaturesDict(
                {
                    "file_path": f.Text(),
                    "episode_id": f.Scalar(dtype=np.int64),
                    "success": f.Scalar(dtype=np.bool_),
                    "names": f.Sequence(f.Text()),
                    "table": f.Sequence(f.Tensor(shape=(2,), dtype=np.float32)),
                    "outline": f.Tensor(shape=(None, 2), dtype=np.float32),
                    "maybe": f.Tensor(shape=(), dtype=np.int64, optional=True),
                    "anything": f.Tensor(shape=(None, None), dtype=np.int32, encoding="bytes"),
                    "pair": f.Translation(languages=["en", "fr"]),
                }
            ),
        }
    )


def episode(rng: np.random.Generator, num_steps: int, number: int) -> dict:
    import tensorflow_datasets as tfds

    box = tfds.features.BBox(ymin=0.0, xmin=0.1, ymax=0.5, xmax=0.9)

    def step(i: int) -> dict:
        count = int(rng.integers(0, 4))
        return {
            "is_first": i == 0,
            "is_last": i == num_steps - 1,
            "reward": np.float32(rng.normal()),
            "discount": 1.0,
            "language_instruction": "" if i % 2 else "öffne die Tür",
            "action": {
                "world_vector": rng.normal(size=3).astype(np.float32),
                "open": np.array([-(2**31) + i], dtype=np.int32),
            },
            "observation": {
                "jpeg": rng.integers(0, 256, (24, 32, 3), dtype=np.uint8),
                "png": rng.integers(0, 256, (8, 8, 3), dtype=np.uint8),
                "unnamed": rng.integers(0, 256, (8, 8, 3), dtype=np.uint8),
                "depth16": rng.integers(0, 65536, (6, 7, 1), dtype=np.uint16),
                "depth32": rng.normal(size=(6, 7, 1)).astype(np.float32),
                "word": f"w{i}",
                "words3": np.array(["a", "", f"c{i}"], dtype=object),
                "label": int(rng.integers(0, 2)),
                "matrix": rng.normal(size=(2, 3)),
                "unsigned": np.array([2**64 - 1 - i, i], dtype=np.uint64),
                "small": rng.integers(0, 256, 4, dtype=np.uint8),
                "as_bytes": rng.normal(size=(2, 2)),
                "as_zlib": rng.integers(-30000, 30000, 5, dtype=np.int16),
                "cloud": rng.normal(size=(4 + i, 2)).astype(np.float32),
                "grid": rng.normal(size=(i + 1, 2)).astype(np.float32),
                "deep": {"xyz": rng.normal(size=3).astype(np.float32)},
                "clip/pose": rng.normal(size=2).astype(np.float32),
                "ragged": rng.integers(-9, 9, count),
                "tokens": [f"t{j}" for j in range(count)],
                "crops": [rng.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in range(count)],
                "boxes": [{"box": box, "score": rng.random()} for _ in range(count)],
                "nested": [list(range(j)) for j in range(count)],
            },
        }

    return {
        "steps": [step(i) for i in range(num_steps)],
        "episode_metadata": {
            "file_path": f"/data/{number}.h5",
            "episode_id": -number,
            "success": number % 2 == 0,
            "names": [f"n{j}" for j in range(number)],
            "table": rng.normal(size=(number, 2)).astype(np.float32),
            "outline": rng.normal(size=(number, 2)).astype(np.float32),
            "maybe": number if number % 2 else None,
            "anything": rng.integers(0, 9, (number, 3), dtype=np.int32),
            "pair": {"en": "cup", "fr": "tasse"},
        },
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    records = [episode(rng, n, i) for i, n in enumerate(LENGTHS)]
    splits = {"train": records, "val": [episode(rng, n, n) for n in (2, 9)]}
    return write(tmp_path_factory.mktemp("rlds"), "all_kinds", all_kinds(), splits, num_shards=2)


def pixels(encoded: bytes, like: np.ndarray) -> np.ndarray:
    image = np.asarray(Image.open(io.BytesIO(encoded)))
    if like.dtype == np.float32:
        image = np.ascontiguousarray(image).view(np.float32)
    return image.reshape(like.shape).astype(like.dtype)


def assert_same(ours: Any, theirs: Any, key: str) -> None:
    """Compare one step or one episode of ours with what tfds gives, whatever the feature is."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs), key
        for name in theirs:
            assert_same(ours[name], theirs[name], f"{key}/{name}")
    elif hasattr(theirs, "to_list"):
        assert_same(ours, theirs.to_list(), key)
    elif isinstance(theirs, list) and not (theirs and isinstance(theirs[0], int)):
        assert len(ours) == len(theirs), key
        for mine, other in zip(ours, theirs, strict=True):
            assert_same(mine, other, key)
    elif isinstance(theirs, bytes):
        assert ours.encode() == theirs, key
    elif isinstance(theirs, np.ndarray) and theirs.dtype == object:
        assert np.array_equal(np.array(ours, dtype=object), np.vectorize(bytes.decode, otypes=[object])(theirs)), key
    elif isinstance(ours, bytes):
        if not ours.startswith(b"\xff\xd8"):  # JPEG decoders differ; the bytes are compared in a test of their own
            assert np.array_equal(pixels(ours, theirs), theirs), key
    elif isinstance(ours, list) and isinstance(theirs, np.ndarray):
        assert_same(ours, list(theirs), key)
    else:
        expected = np.asarray(theirs)
        assert np.array_equal(np.asarray(ours, dtype=expected.dtype), expected), key
        if isinstance(ours, np.ndarray | np.generic) and isinstance(theirs, np.ndarray | np.generic):
            assert ours.dtype == expected.dtype, key


def at(value: Any, i: int) -> Any:
    return {name: at(child, i) for name, child in value.items()} if isinstance(value, dict) else value[i]


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_value_of_every_feature_kind_equals_what_tfds_reads(dataset: Path, split: str) -> None:
    ours, theirs = list(rlds.episodes(dataset, split)), read(dataset, split)
    assert len(ours) == len(theirs) > 0
    for mine, other in zip(ours, theirs, strict=True):
        assert len(mine["steps"]["is_first"]) == len(other["steps"])
        for i, step in enumerate(other["steps"]):
            assert_same(at(mine["steps"], i), step, f"steps[{i}]")
        maybe = mine["episode_metadata"]["maybe"]
        absent = other["episode_metadata"]["maybe"] == np.iinfo(np.int64).min  # how tfds says None
        assert (maybe is None) == absent
        if not absent:
            assert maybe == other["episode_metadata"]["maybe"]
        del mine["episode_metadata"]["maybe"], other["episode_metadata"]["maybe"]
        assert_same(mine["episode_metadata"], other["episode_metadata"], "episode_metadata")


def test_encoded_images_are_the_bytes_of_the_file(dataset: Path) -> None:
    from tensorflow.train import Example

    node = rlds.schema(dataset)
    for shard in rlds.shards(dataset, "train"):
        payloads = [payload for _, payload in tfrecord.records(shard.path)]
        for payload, (_, mine) in zip(payloads, rlds.read_shard(shard.path, node), strict=True):
            stored = Example.FromString(payload).features.feature["steps/observation/jpeg"].bytes_list.value
            assert mine["steps"]["observation"]["jpeg"] == list(stored)


def test_shards_are_listed_with_split_size_and_number_of_records(dataset: Path) -> None:
    shards = rlds.shards(dataset)
    assert [s.split for s in shards] == ["train", "train", "val", "val"]
    assert sum(s.num_records for s in rlds.shards(dataset, "train")) == len(LENGTHS)
    assert all(s.num_bytes == s.path.stat().st_size for s in shards)
    info = json.loads((dataset / "dataset_info.json").read_text())
    for split in info["splits"]:
        mine = rlds.shards(dataset, split["name"])
        framing = tfrecord.FRAMING_BYTES * sum(s.num_records for s in mine)
        assert sum(s.num_bytes for s in mine) == int(split["numBytes"]) + framing


def test_reading_needs_no_tensorflow(dataset: Path) -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None\n"
        "from dataengine.formats import rlds\n"
        f"print(sum(len(e['steps']['is_first']) for e in rlds.episodes({str(dataset)!r}, 'train')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == sum(LENGTHS)


def test_the_older_spelling_of_features_json_gives_the_same_tree(dataset: Path) -> None:
    legacy = {
        "type": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
        "content": {
            "image": {
                "type": "tensorflow_datasets.core.features.image_feature.Image",
                "content": {"shape": [None, None, 3], "dtype": "uint8", "encoding_format": "png"},
            },
            "label": {
                "type": "tensorflow_datasets.core.features.class_label_feature.ClassLabel",
                "content": {"num_classes": 10},
            },
            "steps": {
                "type": "tensorflow_datasets.core.features.sequence_feature.Sequence",
                "content": {
                    "feature": {
                        "type": "tensorflow_datasets.core.features.tensor_feature.Tensor",
                        "content": {"shape": [3, None], "dtype": "float32"},
                    },
                    "length": None,
                },
            },
            "text": {
                "type": "tensorflow_datasets.core.features.text_feature.Text",
                "proto_cls": "tensorflow_datasets.TextFeature",
                "content": "{}",
            },
        },
    }
    tree = feature_tree.parse(json.dumps(legacy), "features.json")
    assert tree == feature_tree.Group(
        {
            "image": feature_tree.Leaf("image", "uint8"),
            "label": feature_tree.Leaf("number", "int64"),
            "steps": feature_tree.Repeated(feature_tree.Leaf("number", "float32", (3, None))),
            "text": feature_tree.Leaf("text", "string", optional=True),
        }
    )
    import tensorflow_datasets as tfds

    modern = tfds.features.FeatureConnector.from_json(legacy).to_proto()
    from google.protobuf import json_format

    assert feature_tree.parse(json_format.MessageToJson(modern), "features.json") == tree


def test_what_tfds_writes_but_cannot_read_back_is_read_too() -> None:
    from tensorflow.train import BytesList, Example, Feature, Features, FloatList, Int64List

    flat, fixed = np.arange(24, dtype=np.float32), np.arange(9, dtype=np.float32)
    lists = {
        "steps/cloud": Feature(float_list=FloatList(value=flat)),
        "steps/word": Feature(bytes_list=BytesList(value=[b"a", b"b", b"c"])),
        "steps/fixed/ragged_flat_values": Feature(float_list=FloatList(value=fixed)),
        "steps/fixed/ragged_row_lengths_0": Feature(int64_list=Int64List(value=[3, 3, 3])),
    }
    tree = {
        "cloud": feature_tree.Leaf("number", "float32", (None, 2)),  # one unknown dimension, no encoding
        "word": feature_tree.Leaf("text", "string"),
        "fixed": feature_tree.Repeated(feature_tree.Leaf("number", "float32"), 3),
    }
    schema = feature_tree.Group({"steps": feature_tree.Repeated(feature_tree.Group(tree))})
    steps = example.decode(Example(features=Features(feature=lists)).SerializeToString(), schema)["steps"]
    assert np.array_equal(steps["cloud"], flat.reshape(3, 4, 2))
    assert np.array_equal(steps["fixed"], fixed.reshape(3, 3))


def copy_of(dataset: Path, tmp_path: Path) -> tuple[Path, rlds.Shard]:
    for file in dataset.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path, rlds.shards(tmp_path, "train")[0]


def results(directory: Path, shard: rlds.Shard) -> list[str]:
    read = rlds.read_shard(shard.path, rlds.schema(directory), shard.num_records)
    return [str(found) if isinstance(found, RecordError) else "ok" for _, found in read]


def test_a_flipped_byte_in_a_payload_costs_that_record(dataset: Path, tmp_path: Path) -> None:
    directory, shard = copy_of(dataset, tmp_path)
    data = bytearray(shard.path.read_bytes())
    data[200] ^= 1
    shard.path.write_bytes(data)
    found = results(directory, shard)
    assert "checksum of the payload" in found[0]
    assert found[1:] == ["ok"] * (shard.num_records - 1)
    assert len(found) == 2


def test_a_flipped_byte_in_a_length_costs_the_rest_of_the_shard(dataset: Path, tmp_path: Path) -> None:
    directory, shard = copy_of(dataset, tmp_path)
    data = bytearray(shard.path.read_bytes())
    data[1] ^= 1
    shard.path.write_bytes(data)
    (only,) = results(directory, shard)
    assert only.startswith("byte 0: the checksum of the record's length is wrong; the rest of the file cannot be read")


@pytest.mark.parametrize(("cut", "reason"), [(-10, "truncated"), (5, "ends 5 bytes into a record's 12 byte header")])
def test_a_truncated_shard_keeps_what_came_before(dataset: Path, tmp_path: Path, cut: int, reason: str) -> None:
    directory, shard = copy_of(dataset, tmp_path)
    data = shard.path.read_bytes()
    first = 16 + int.from_bytes(data[:8], "little")
    shard.path.write_bytes(data[: first + cut] if cut > 0 else data[:cut])
    found = results(directory, shard)
    assert found[0] == "ok"
    assert reason in found[1]
    assert len(found) == 2


def test_a_shard_that_lacks_whole_records_says_so(dataset: Path, tmp_path: Path) -> None:
    directory, shard = copy_of(dataset, tmp_path)
    data = shard.path.read_bytes()
    shard.path.write_bytes(data[: 16 + int.from_bytes(data[:8], "little")])
    assert results(directory, shard) == ["ok", "the file ends after 1 records, dataset_info.json promises 2"]


def edited(dataset: Path, tmp_path: Path, edit: Any) -> list[str]:
    """Rewrite the first shard with its first record edited as a protobuf."""
    from tensorflow.train import Example

    directory, shard = copy_of(dataset, tmp_path)
    payloads = [payload for _, payload in tfrecord.records(shard.path)]
    message = Example.FromString(payloads[0])
    edit(message.features.feature)
    payloads[0] = message.SerializeToString()
    shard.path.write_bytes(b"".join(tfrecord.frame(payload) for payload in payloads))
    found = results(directory, shard)
    assert found[1:] == ["ok"]
    return found[0]


def test_a_missing_key_is_named(dataset: Path, tmp_path: Path) -> None:
    reason = edited(dataset, tmp_path, lambda f: f.pop("steps/action/world_vector"))
    assert reason == "key 'steps/action/world_vector' is missing"


def test_arrays_of_unequal_length_are_named(dataset: Path, tmp_path: Path) -> None:
    reason = edited(dataset, tmp_path, lambda f: f["steps/reward"].float_list.value.append(1.0))
    assert reason.startswith("key 'steps/reward' holds ")
    (tmp_path / "first").mkdir()  # the first key of the schema is judged by is_first like any other
    reason = edited(dataset, tmp_path / "first", lambda f: f["steps/action/open"].int64_list.value.append(1))
    assert reason.startswith("key 'steps/action/open' holds ")
    (tmp_path / "images").mkdir()
    reason = edited(dataset, tmp_path / "images", lambda f: f["steps/observation/jpeg"].bytes_list.value.pop())
    assert reason.startswith("key 'steps/observation/jpeg' holds ")


def test_another_kind_of_value_than_declared_is_named(dataset: Path, tmp_path: Path) -> None:
    reason = edited(dataset, tmp_path, lambda f: f["steps/reward"].int64_list.value.append(1))
    assert reason == "key 'steps/reward' holds a int64_list, expected a float_list (float32)"


def test_a_damaged_zlib_value_is_named(dataset: Path, tmp_path: Path) -> None:
    def damage(features: Any) -> None:
        features["steps/observation/as_zlib"].bytes_list.value[0] = b"no zlib"

    assert "key 'steps/observation/as_zlib': 7 bytes do not decode" in edited(dataset, tmp_path, damage)


def test_a_payload_that_is_no_example_is_one_bad_record(dataset: Path, tmp_path: Path) -> None:
    directory, shard = copy_of(dataset, tmp_path)
    shard.path.write_bytes(tfrecord.frame(b"\xff" * 40) + shard.path.read_bytes())
    found = results(directory, shard)
    assert found == ["the payload (40 bytes) is no tf.train.Example", "ok", "ok"]


def test_a_wrong_folder_is_told_in_one_line(dataset: Path, tmp_path: Path) -> None:
    cases = {
        dataset.parent: f"pass {dataset}",
        dataset.parent.parent: f"pass {dataset}",
        dataset / "nowhere": "found nothing",
        dataset / "features.json": "found a file",
        tmp_path: "found an empty folder",
    }
    for place, expected in cases.items():
        with pytest.raises(SourceError, match=r"pass|found") as error:
            rlds.shards(place)
        assert expected in str(error.value)
        assert "\n" not in str(error.value)


def test_json_that_does_not_parse_is_told_in_one_line(dataset: Path, tmp_path: Path) -> None:
    directory, _ = copy_of(dataset, tmp_path)
    for file, reader in (("features.json", rlds.schema), ("dataset_info.json", rlds.shards)):
        (directory / file).write_text('{"half": ')
        with pytest.raises(SourceError, match=file) as error:
            reader(directory)
        assert "\n" not in str(error.value)


def test_random_damage_is_always_a_record_error(dataset: Path) -> None:
    rng = np.random.default_rng(0)
    schema = rlds.schema(dataset)
    payloads = [bytes(payload) for s in rlds.shards(dataset) for _, payload in tfrecord.records(s.path)]
    rejected = 0
    for _ in range(400):
        data = bytearray(payloads[rng.integers(len(payloads))])
        for _ in range(rng.integers(1, 8)):
            data[rng.integers(len(data))] = rng.integers(256)
        if rng.random() < 0.5:
            del data[(at := int(rng.integers(len(data)))) : at + int(rng.integers(1, 9))]
        try:
            example.decode(bytes(data), schema)
        except RecordError as error:
            rejected += 1
            assert "\n" not in str(error)
    assert rejected > 200


def test_a_shard_name_that_leaves_the_folder_is_refused(dataset: Path, tmp_path: Path) -> None:
    directory, _ = copy_of(dataset, tmp_path)
    info = json.loads((directory / "dataset_info.json").read_text())
    info["splits"][0]["filepathTemplate"] = "../{DATASET}-{SHARD_X_OF_Y}"
    (directory / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(SourceError, match="outside the folder"):
        rlds.shards(directory)
