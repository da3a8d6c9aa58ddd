"""EgoDex as unzipped: texts of either direction out of HDF5, sessions, and pairs that lack a half."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support import counted_video


def add(root: Path, name: str, **attributes: Any) -> None:
    path = root / f"{name}.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["transforms/camera"] = np.tile(np.eye(4, dtype=np.float32), (60, 1, 1))
        for key, value in attributes.items():
            file.attrs[key] = value
    counted_video.write(path.with_suffix(".mp4"), 60, 30.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    both = {"llm_type": "reversible", "llm_description": "open the jar", "llm_description2": "close the jar"}
    add(tmp_path, "part1/jar/0", **both, which_llm_description="2", session_name="s1", llm_verbs=["close"])
    add(tmp_path, "part1/jar/10", **both, which_llm_description=np.bytes_(b"1\0\0"), session_name="s1")
    add(tmp_path, "part1/jar/107", llm_type="reset", llm_description=np.bytes_(b"stack cups\0"), environment="table")
    add(tmp_path, "test/jar/0", llm_description="stir", session_name="s2")
    return tmp_path


def read_all(root: Path) -> tuple[dict[str, Episode], dict[str, str], list[str]]:
    source = catalog.source("egodex")(str(root))
    parts = source.parts()
    outcomes = [record for part in parts for record in source.read(part)]
    episodes = {record.source_record: record for record in outcomes if isinstance(record, Episode)}
    rejects = {record.record: record.reason for record in outcomes if isinstance(record, Reject)}
    return episodes, rejects, [part.name for part in parts]


def test_an_episode_has_the_text_of_its_direction(root: Path) -> None:
    episodes, rejects, parts = read_all(root)
    assert {record: episode.instruction for record, episode in episodes.items()} == {
        "part1/jar/0": ["close the jar"],
        "part1/jar/10": ["open the jar"],
        "part1/jar/107": ["stack cups"],
        "test/jar/0": ["stir"],
    }
    assert parts == ["part1/jar/0", "part1/jar/100", "test/jar/0"]
    first = episodes["part1/jar/0"]
    assert counted_video.numbers(list(first.cameras["primary"].jpegs)) == list(range(0, 60, 3))
    assert (first.cut.split_group, first.cut.text_source, first.notes["verb"]) == ("s1", "llm", "close")  # type: ignore[union-attr]
    assert (episodes["part1/jar/107"].notes["environment"], episodes["test/jar/0"].split) == ("table", "val")
    assert rejects == {}


def test_an_episode_without_its_other_half_is_rejected(root: Path) -> None:
    (root / "part1" / "jar" / "0.hdf5").unlink()
    (root / "part1" / "jar" / "10.mp4").unlink()
    (root / "part1" / "jar" / "107.hdf5").write_bytes(b"no HDF5")
    episodes, rejects, _ = read_all(root)
    assert list(episodes) == ["test/jar/0"]
    assert rejects["part1/jar/0"] == "0.hdf5 is missing"
    assert rejects["part1/jar/10"] == "10.mp4: the video is missing"
    assert rejects["part1/jar/107"].startswith("107.hdf5: not readable HDF5 (7 bytes;")


def test_one_part_may_be_the_root(root: Path) -> None:
    assert sorted(read_all(root / "part1")[0]) == ["part1/jar/0", "part1/jar/10", "part1/jar/107"]
    with pytest.raises(SourceError, match="found no episode"):
        catalog.source("egodex")(str(root / "part1" / "jar")).parts()
