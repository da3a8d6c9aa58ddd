"""RLDS files that are broken on purpose: the smallest unit is lost, with a reason of one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataengine.errors import RecordError, SourceError
from dataengine.formats import example, rlds, tfrecord


def copy_of(dataset: Path, tmp_path: Path) -> tuple[Path, rlds.Shard]:
    for file in dataset.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path, rlds.shards(tmp_path, "train")[0]


def results(directory: Path, shard: rlds.Shard) -> list[str]:
    read = rlds.read_shard(shard.uri, rlds.schema(directory), shard.num_records)
    return [str(record) if isinstance(record, RecordError) else "ok" for _, record in read]


def test_a_flipped_byte_in_a_payload_costs_that_record(dataset: Path, tmp_path: Path) -> None:
    directory, shard = copy_of(dataset, tmp_path)
    data = bytearray(Path(shard.uri).read_bytes())
    data[200] ^= 1
    Path(shard.uri).write_bytes(data)
    outcomes = results(directory, shard)
    assert "checksum of the payload" in outcomes[0]
    assert outcomes[1:] == ["ok"] * (shard.num_records - 1)
    assert len(outcomes) == 2


def test_a_flipped_byte_in_a_length_costs_the_rest_of_the_shard(dataset: Path, tmp_path: Path) -> None:
    directory, shard = copy_of(dataset, tmp_path)
    data = bytearray(Path(shard.uri).read_bytes())
    data[1] ^= 1
    Path(shard.uri).write_bytes(data)
    (only,) = results(directory, shard)
    assert only.startswith("byte 0: the checksum of the record's length is wrong; the rest of the file cannot be read")


@pytest.mark.parametrize(("cut", "reason"), [(-10, "truncated"), (5, "ends 5 bytes into a record's 12 byte header")])
def test_a_truncated_shard_keeps_what_came_before(dataset: Path, tmp_path: Path, cut: int, reason: str) -> None:
    directory, shard = copy_of(dataset, tmp_path)
    data = Path(shard.uri).read_bytes()
    first = 16 + int.from_bytes(data[:8], "little")
    Path(shard.uri).write_bytes(data[: first + cut] if cut > 0 else data[:cut])
    outcomes = results(directory, shard)
    assert outcomes[0] == "ok"
    assert reason in outcomes[1]
    assert len(outcomes) == 2


def test_a_shard_that_lacks_whole_records_says_so(dataset: Path, tmp_path: Path) -> None:
    directory, shard = copy_of(dataset, tmp_path)
    data = Path(shard.uri).read_bytes()
    Path(shard.uri).write_bytes(data[: 16 + int.from_bytes(data[:8], "little")])
    assert results(directory, shard) == ["ok", "the file ends after 1 records, dataset_info.json promises 2"]


def edited(dataset: Path, tmp_path: Path, edit: Any) -> list[str]:
    """Rewrite the first shard with its first record edited as a protobuf."""
    from tensorflow.train import Example

    directory, shard = copy_of(dataset, tmp_path)
    payloads = [payload for _, payload in tfrecord.records(shard.uri)]
    message = Example.FromString(payloads[0])
    edit(message.features.feature)
    payloads[0] = message.SerializeToString()
    Path(shard.uri).write_bytes(b"".join(tfrecord.frame(payload) for payload in payloads))
    outcomes = results(directory, shard)
    assert outcomes[1:] == ["ok"]
    return outcomes[0]


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
    Path(shard.uri).write_bytes(tfrecord.frame(b"\xff" * 40) + Path(shard.uri).read_bytes())
    outcomes = results(directory, shard)
    assert outcomes == ["the payload (40 bytes) is no tf.train.Example", "ok", "ok"]


def test_a_wrong_folder_is_told_in_one_line(dataset: Path, tmp_path: Path) -> None:
    cases = {
        dataset.parent: f"pass {dataset}",
        dataset.parent.parent: f"pass {dataset}",
        dataset / "nowhere": "found nothing",
        dataset / "features.json": "found a file",
        tmp_path: "found an empty folder",
    }
    for folder, expected in cases.items():
        with pytest.raises(SourceError, match=r"pass|found") as error:
            rlds.shards(folder)
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
    payloads = [bytes(payload) for s in rlds.shards(dataset) for _, payload in tfrecord.records(s.uri)]
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
