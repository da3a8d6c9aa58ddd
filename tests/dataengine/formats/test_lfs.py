"""A clone without `git lfs pull`: whatever meets a pointer in place of a file says so."""

import json
import pickle
from pathlib import Path

import pytest

from dataengine import catalog
from dataengine.episode import Reject
from dataengine.errors import DataEngineError
from dataengine.formats import hdf5, jpeg, json_file, lfs, npy, tar, tfrecord
from dataengine.formats.byte_range import ByteRange
from dataengine.formats.lerobot import lerobot
from dataengine.formats.video import video
from tests.support import lerobot_writer as lr

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 4096\n"


def refuse(read):
    """What a reader says."""
    try:
        result = read()
    except (DataEngineError, ValueError) as error:
        return str(error)
    return result


READERS = {
    "parquet": lambda path: refuse(lambda: lerobot.read_table(path)),
    "video": lambda path: refuse(lambda: video.decode(path, frame_size=64)),
    "HDF5": lambda path: refuse(lambda: hdf5.read(path, ("state",))),
    "HDF5 in an archive": lambda path: refuse(lambda: hdf5.read(ByteRange(path, 0, len(POINTER), "a.h5"), ("state",))),
    "npy": lambda path: refuse(lambda: npy.read(path)),
    "JSON": lambda path: refuse(lambda: json_file.read(path)),
    "JSON lines": lambda path: " ".join(problem for _, _, problem in json_file.lines(path)),
    "TFRecord": lambda path: " ".join(str(record) for _, record in tfrecord.records(path)),
    "tar": lambda path: tar.index(path, (".mp4",)).fault,
    "image": lambda path: refuse(lambda: jpeg.fit([path.read_bytes()], 64)),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_pointer_is_named_by_the_reader_that_meets_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.file"
    path.write_bytes(POINTER)
    said = READERS[kind](path)
    assert said.count(lfs.ADVICE) == 1
    path.write_bytes(b"nothing of the kind, but as long as it takes for a header to be read" * 9)
    assert lfs.ADVICE not in READERS[kind](path)


@pytest.mark.parametrize("kind", ["v2.1", "v3.0"])
def test_a_cloned_lerobot_dataset_rejects_every_episode_for_its_pointers(tmp_path: Path, kind: str) -> None:
    root = lr.write_v3(tmp_path / "cubes") if kind == "v3.0" else lr.write_v2(tmp_path / "cubes")
    for path in [*root.glob("data/*/*.parquet"), *root.glob("videos/**/*.mp4")]:
        path.write_bytes(POINTER)
    source = pickle.loads(pickle.dumps(catalog.source("lerobot")(str(root))))
    outcomes = [record for part in source.parts() for record in source.read(part)]
    assert len(outcomes) == 3
    assert all(isinstance(record, Reject) and lfs.ADVICE in record.reason for record in outcomes)


def test_metadata_that_are_pointers_stop_the_command_with_the_advice(tmp_path: Path) -> None:
    root = lr.write_v3(tmp_path / "cubes")
    (root / "meta/info.json").write_bytes(POINTER)
    with pytest.raises(DataEngineError, match="git lfs pull"):
        catalog.source("lerobot")(str(root))
    root = lr.write_v3(tmp_path / "others")
    for path in (root / "meta/episodes").rglob("*.parquet"):
        path.write_bytes(POINTER)
    source = catalog.source("lerobot")(str(root))
    (reject,) = [record for part in source.parts() for record in source.read(part)]
    assert lfs.ADVICE in reject.reason
    assert json.loads((root / "meta/info.json").read_text())["total_episodes"] == 3
