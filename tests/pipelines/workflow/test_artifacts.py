"""What shards and models are known by: their content, wherever it lies; damage is named, what misses is not there."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dataengine.errors import DataEngineError
from pipelines.workflow.artifacts import ABSENT, Artifact, Identities
from tests.support.shards import made_reader, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "shards", made_reader())
    return tmp_path / "shards"


def identity(folder: Path, known: Identities) -> str:
    return known.of(Artifact("shards", str(folder)))


def test_shards_of_a_corpus_that_was_moved_and_compacted_are_the_same(folder: Path, tmp_path: Path) -> None:
    reader = made_reader()
    reader.identity = replace(reader.identity, uri="elsewhere", version=reader.identity.version + 1)
    write(tmp_path / "again", reader)
    assert json.loads((folder / "manifest.json").read_text()) != json.loads(
        (tmp_path / "again/manifest.json").read_text()
    )
    known = Identities()
    assert identity(folder, known) == identity(tmp_path / "again", known) != ABSENT
    write(tmp_path / "other", reader, segment_steps=10)
    assert identity(tmp_path / "other", known) != identity(folder, known)


@pytest.mark.parametrize("trouble", ["gone", "cut", "no index", "no manifest", "cut manifest"])
def test_shards_of_which_a_file_is_missing_or_cut_are_not_there(folder: Path, trouble: str) -> None:
    tar = folder / "shard-000001.tar"
    if trouble == "gone":
        tar.unlink()
    elif trouble == "cut":
        os.truncate(tar, 100)
    elif trouble == "no index":
        tar.with_suffix(".parquet").unlink()
    elif trouble == "no manifest":
        (folder / "manifest.json").unlink()
    else:
        os.truncate(folder / "manifest.json", 100)
    assert identity(folder, Identities()) == ABSENT
    write(folder, made_reader())  # which writes what is missing
    assert identity(folder, Identities()) != ABSENT


def test_a_shard_that_was_written_to_since_is_named_also_where_it_was_moved_to(folder: Path, tmp_path: Path) -> None:
    known = Identities()
    before = identity(folder, known)
    tar = folder / "shard-000001.tar"
    os.utime(tar, (1, 1))
    assert identity(folder, known) == before
    shutil.move(folder, tmp_path / "moved")
    tar = tmp_path / "moved" / tar.name
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.write_bytes(data)
    with pytest.raises(DataEngineError, match=r"moved/shard-000001\.tar: damaged since it was written; delete it"):
        identity(tmp_path / "moved", known)


def test_a_models_settings_that_are_cut_short_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "model_config.json").write_text('{"architecture": "L')
    with pytest.raises(DataEngineError, match=r"model_config\.json: damaged since it was written .*; move it away"):
        Identities().of(Artifact("model", str(tmp_path)))
