"""HO-Cap as extracted: one view or all, windows of a sequence, pictures and meta files that lack or are damaged."""

import json
from pathlib import Path
from typing import Any

import pytest
import simplejpeg
import yaml

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support import counted_video

SEQUENCE = "subject_1/20231025_165502"
HEAD, TABLE = "hololens_kv5h72", "037522251142"
META = {"num_frames": 75, "object_ids": ["G01_1", "G02_3"], "mano_sides": ["right"], "task_id": 2}


def add_camera(folder: Path, camera: str, count: int = 75, first: int = 0) -> None:
    (folder / camera).mkdir(parents=True)
    for i in range(count):
        data = simplejpeg.encode_jpeg(counted_video.picture(first + i), 90)
        (folder / camera / f"color_{i:06}.jpg").write_bytes(data)
        (folder / camera / f"depth_{i:06}.png").write_bytes(b"")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / SEQUENCE
    add_camera(folder, HEAD)
    add_camera(folder, TABLE, first=1000)
    (folder / "meta.yaml").write_text(yaml.safe_dump(META))
    (tmp_path / "calibration").mkdir()
    return tmp_path


def read_all(root: Path, **options: Any) -> tuple[dict[str, Episode], dict[str, str]]:
    source = catalog.source("ho_cap")(str(root), window_s=1.0, context_s=0.0, **options)
    outcomes = [record for part in source.parts() for record in source.read(part)]
    episodes = {record.source_record: record for record in outcomes if isinstance(record, Episode)}
    return episodes, {record.record: record.reason for record in outcomes if isinstance(record, Reject)}


def frames_of(episode: Episode) -> list[int]:
    return counted_video.numbers(list(episode.cameras["primary"].jpegs))


def test_a_sequence_is_divided_into_windows_that_follow_one_another(root: Path) -> None:
    episodes, rejects = read_all(root, frame_hz=10.0)
    assert {record: frames_of(episode) for record, episode in episodes.items()} == {
        f"{SEQUENCE}/{HEAD}/0": list(range(0, 30, 3)),
        f"{SEQUENCE}/{HEAD}/1": list(range(30, 60, 3)),
        f"{SEQUENCE}/{HEAD}/2": list(range(60, 75, 3)),
    }
    first = episodes[f"{SEQUENCE}/{HEAD}/0"]
    assert first.instruction == ["handle objects G01_1, G02_3"]
    assert (first.cut.text_source, first.cut.split_group, first.notes["task"]) == ("template", "subject_1", "2")  # type: ignore[union-attr]
    assert rejects == {}


@pytest.mark.parametrize(("view", "firsts"), [("table", [1000]), ("all", [0, 1000])])
def test_other_views_are_read_on_demand(root: Path, view: str, firsts: list[int]) -> None:
    episodes, _ = read_all(root, view=view)
    assert [frames_of(episode)[0] for record, episode in episodes.items() if record.endswith("/0")] == firsts


def test_what_lacks_costs_its_window_and_a_damaged_meta_its_sequence(root: Path) -> None:
    (root / SEQUENCE / HEAD / "color_000033.jpg").unlink()
    (root / SEQUENCE / HEAD / "color_000066.jpg").write_bytes(b"no picture")
    other = root / "subject_2" / "20231026_120000"
    add_camera(other, HEAD, 3)
    (other / "meta.json").write_text(json.dumps([1]))
    third = root / "subject_3" / "20231027_120000"
    third.mkdir(parents=True)
    episodes, rejects = read_all(root)
    assert list(episodes) == [f"{SEQUENCE}/{HEAD}/0"]
    assert rejects[f"{SEQUENCE}/{HEAD}/1"] == "1.00 to 2.00 s: color_000033.jpg is missing"
    assert rejects[f"{SEQUENCE}/{HEAD}/2"].startswith("2.00 to 2.50 s: frame 2 (10 bytes): ")
    damaged = "meta is damaged: found list, expected keys and values"
    assert rejects["subject_2/20231026_120000/hololens_kv5h72"] == damaged
    assert "has no pictures" in rejects["subject_3/20231027_120000/hololens_"]


def test_a_folder_without_sequences_is_named(tmp_path: Path) -> None:
    (tmp_path / "subject_1.zip").write_bytes(b"x")
    with pytest.raises(SourceError, match="found no sequence"):
        catalog.source("ho_cap")(str(tmp_path)).parts()
