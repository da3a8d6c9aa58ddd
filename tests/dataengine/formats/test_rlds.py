"""Our RLDS reader against tfds itself, value by value."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataengine.formats import example, rlds, tfrecord
from dataengine.formats import features as feature_tree
from tests.support.all_kinds import LENGTHS
from tests.support.rlds_writer import read


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
        payloads = [payload for _, payload in tfrecord.records(shard.uri)]
        for payload, (_, mine) in zip(payloads, rlds.read_shard(shard.uri, node), strict=True):
            stored = Example.FromString(payload).features.feature["steps/observation/jpeg"].bytes_list.value
            assert mine["steps"]["observation"]["jpeg"] == list(stored)


def test_shards_are_listed_with_split_size_and_number_of_records(dataset: Path) -> None:
    shards = rlds.shards(dataset)
    assert [s.split for s in shards] == ["train", "train", "val", "val"]
    assert sum(s.num_records for s in rlds.shards(dataset, "train")) == len(LENGTHS)
    assert all(s.num_bytes == Path(s.uri).stat().st_size for s in shards)
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
    tree = feature_tree.parse(legacy, "features.json")
    assert tree == feature_tree.FeaturesDict(
        {
            "image": feature_tree.Leaf("image", "uint8", pixels=(None, None, 3)),
            "label": feature_tree.Leaf("number", "int64"),
            "steps": feature_tree.Repeated(feature_tree.Leaf("number", "float32", (3, None))),
            "text": feature_tree.Leaf("text", "string", optional=True),
        }
    )
    import tensorflow_datasets as tfds

    modern = tfds.features.FeatureConnector.from_json(legacy).to_proto()
    from google.protobuf import json_format

    assert feature_tree.parse(json_format.MessageToDict(modern), "features.json") == tree


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
    schema = feature_tree.FeaturesDict({"steps": feature_tree.Repeated(feature_tree.FeaturesDict(tree))})
    steps = example.decode(Example(features=Features(feature=lists)).SerializeToString(), schema)["steps"]
    assert np.array_equal(steps["cloud"], flat.reshape(3, 4, 2))
    assert np.array_equal(steps["fixed"], fixed.reshape(3, 3))
