"""Egocentric-10K as downloaded: clips read in place out of tars that Python's tarfile wrote."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support import counted_video

WORKER = "factory_002/workers/worker_003"
LENS = {"model": "fisheye", "image_width": 1920, "image_height": 1080, "fx": 1030.59, "fy": 1032.82, "k1": -0.1166}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / WORKER
    folder.mkdir(parents=True)
    (folder / "intrinsics.json").write_text(json.dumps(LENS))
    with tarfile.open(folder / "factory002_worker003_part00.tar", "w") as archive:
        for number in (1, 0):
            draw = lambda i, height, width, number=number: counted_video.picture(i + 1000 * number, height, width)  # noqa: E731
            options = {"x265-params": "log-level=none"}
            path = counted_video.write(
                tmp_path / f"{number}.mp4", 90, 30.0, codec="libx265", options=options, draw=draw
            )
            about = {"factory_id": "factory_002", "size_bytes": path.stat().st_size, "fps": 30.0, "codec": "h265"}
            for suffix, data in ((".mp4", path.read_bytes()), (".json", json.dumps(about).encode())):
                member = tarfile.TarInfo(f"factory002_worker003_{number:05}{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return tmp_path / "data"


def read_all(root: Path) -> tuple[dict[str, Episode], dict[str, str], list[Any]]:
    source = catalog.source("egocentric_10k")(str(root), window_s=1.5, context_s=0.0)  # type: ignore[call-arg]
    parts = source.parts()
    outcomes = [record for part in parts for record in source.read(part)]
    episodes = {record.source_record: record for record in outcomes if isinstance(record, Episode)}
    return episodes, {record.record: record.reason for record in outcomes if isinstance(record, Reject)}, parts


def test_clips_are_read_in_place_and_divided(root: Path) -> None:
    episodes, rejects, parts = read_all(root)
    assert [part.name for part in parts] == [f"{WORKER}/factory002_worker003_part00.tar"]
    assert parts[0].num_bytes > 1000
    frames = {record: counted_video.numbers(list(e.cameras["primary"].jpegs)) for record, e in episodes.items()}
    stem = "factory_002/worker_003/factory002_worker003"
    assert frames == {
        f"{stem}_00000/0": list(range(0, 45, 3)),
        f"{stem}_00000/1": list(range(45, 90, 3)),
        f"{stem}_00001/0": list(range(1000, 1045, 3)),
        f"{stem}_00001/1": list(range(1045, 1090, 3)),
    }
    first = episodes[f"{stem}_00000/0"]
    assert (first.cut.split_group, first.instruction) == ("factory_002/worker_003", [])  # type: ignore[union-attr]
    assert json.loads(first.notes["camera"]) == LENS
    assert rejects == {}


def test_an_archive_that_is_cut_off_gives_what_it_holds(root: Path) -> None:
    path = root / WORKER / "factory002_worker003_part00.tar"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (root / WORKER / "intrinsics.json").unlink()
    episodes, rejects, _ = read_all(root)
    assert episodes
    assert all("camera" not in episode.notes for episode in episodes.values())
    assert any("archive is damaged behind its last clip" in reason for reason in rejects.values())


def test_a_folder_without_archives_is_named(tmp_path: Path) -> None:
    (tmp_path / "factory_001").mkdir()
    with pytest.raises(SourceError, match="found no archive"):
        catalog.source("egocentric_10k")(str(tmp_path)).parts()
