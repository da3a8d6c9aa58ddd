"""Something-Something V2 as downloaded: both namings of its JSON files, clips by timestamps, and what is broken."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from dataengine import catalog
from dataengine.digest import stable_id
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from dataengine.formats.video import video
from dataengine.sources import _parts
from dataengine.store import Corpus
from pipelines.ingest import run
from pipelines.ingest.config import IngestConfig
from tests.support.something_something_tree import VIDEOS, entry, write_clip, write_json

CLIPS = {"7": 36, "42": 24, "101": 30}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, num_frames in CLIPS.items():
        write_clip(folder / f"{name}.webm", num_frames)
    return folder


@pytest.fixture
def root(clips: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "ssv2"
    (folder / VIDEOS).mkdir(parents=True)
    for name in CLIPS:
        (folder / VIDEOS / f"{name}.webm").write_bytes((clips / f"{name}.webm").read_bytes())
    write_json(folder, "train", [entry("42"), entry("7", "holding a cup ")])
    write_json(folder, "validation", [entry("101")])
    write_json(folder, "test", [{"id": "101"}])
    write_json(folder, "labels", {"Putting something on something": "0"})  # type: ignore[arg-type]
    return folder


def read_all(root: Path, **settings: Any) -> list[Episode | Reject]:
    source = pickle.loads(pickle.dumps(catalog.source("something_something")(str(root), **settings)))
    return [outcome for part in source.parts() for outcome in source.read(part)]


def test_clips_arrive_resampled_by_time_with_label_split_and_native_size(root: Path) -> None:
    outcomes = read_all(root)
    assert [(e.source_record, e.split, e.num_steps) for e in outcomes] == [
        ("7", "train", 30),
        ("42", "train", 20),
        ("101", "val", 25),
    ]
    first = outcomes[0]
    assert first.instruction == ["holding a cup"]
    assert (first.kind, first.embodiment, first.control_hz) == ("human", "human_hand", 10.0)
    assert (first.state, first.action, first.raw_state) == (None, None, None)
    assert first.time_ns.tolist() == [100_000_000 * i for i in range(30)]
    assert first.notes["template"] == "Putting something on something"
    frames = first.cameras["primary"]
    assert (frames.native_height, frames.native_width, frames.height, frames.width) == (240, 136, 240, 136)
    shown = [round(float(simplejpeg.decode_jpeg(data).mean()) / 6) for data in frames.jpegs]
    assert shown == [int(np.argmin(np.abs(np.round(np.arange(36) * 1000 / 12) - 100 * k))) for k in range(30)]


def test_an_episode_is_known_by_its_entry_and_holds_a_file_from_first_picture_to_last(root: Path) -> None:
    write_clip(root / VIDEOS / "42.webm", 32)  # its last picture is shown for longer than to the next instant
    episodes = {episode.source_record: episode for episode in read_all(root) if isinstance(episode, Episode)}
    assert {record: episode.episode_id for record, episode in episodes.items()} == {
        record: stable_id("something_something", record) for record in CLIPS
    }
    assert episodes["42"].num_steps == 26
    for record, episode in episodes.items():
        decoded = video.decode(root / VIDEOS / f"{record}.webm", 256, 10.0)
        assert list(episode.cameras["primary"].jpegs) == list(decoded.frames.jpegs)
        assert (episode.cut.video, episode.cut.clip_start_s, episode.cut.text_source) == (record, 0.0, "publisher")  # type: ignore[union-attr]


def test_a_clip_of_both_splits_counts_in_the_first(root: Path) -> None:
    write_json(root, "validation", [entry("101"), entry("7")])
    outcomes = read_all(root)
    assert [(e.source_record, e.split) for e in outcomes if isinstance(e, Episode)] == [
        *(("7", "train"), ("42", "train")),
        ("101", "val"),
    ]
    (reject,) = (each for each in outcomes if isinstance(each, Reject))
    assert (reject.record, reject.reason.partition(":")[0]) == ("7", "its video was listed before")


def test_rate_and_size_of_frames_are_settings(root: Path) -> None:
    (episode, *_) = read_all(root, frame_hz=4.0, frame_size=64)
    frames = episode.cameras["primary"]
    assert (episode.num_steps, episode.control_hz) == (12, 4.0)
    assert (frames.height, frames.width, frames.native_height, frames.native_width) == (64, 64, 240, 136)


@pytest.mark.parametrize(
    "pattern", ["{}.json", "something-something-v2-{}.json", "labels/{}.json", "labels/something-something-v2-{}.json"]
)
def test_every_naming_of_the_label_files_is_found(root: Path, pattern: str) -> None:
    (root / "labels").mkdir()
    for stem in ("train", "validation"):
        (root / f"{stem}.json").rename(root / pattern.format(stem))
    assert [e.source_record for e in read_all(root)] == ["7", "42", "101"]


def test_a_part_is_a_batch_of_clips_and_batches_cover_all_of_them(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = catalog.source("something_something")(str(root))
    assert [(p.name, p.num_bytes > 0) for p in source.parts()] == [("train/7", True), ("val/101", True)]
    monkeypatch.setattr(_parts.grouped, "__defaults__", (1,))
    assert [p.name for p in source.parts()] == ["train/7", "train/42", "val/101"]
    assert [outcome.source_record for part in source.parts() for outcome in source.read(part)] == ["7", "42", "101"]


def test_another_label_or_another_size_changes_the_fingerprint(root: Path) -> None:
    source = catalog.source("something_something")(str(root))
    before = source.parts()
    write_json(root, "train", [entry("42"), entry("7", "holding a box")])
    after = source.parts()
    assert [p.part_id for p in before] == [p.part_id for p in after]
    assert before[0].fingerprint != after[0].fingerprint
    assert before[1].fingerprint == after[1].fingerprint


def test_a_bad_clip_is_rejected_and_the_rest_arrives(root: Path) -> None:
    (root / VIDEOS / "7.webm").unlink()
    data = (root / VIDEOS / "101.webm").read_bytes()
    (root / VIDEOS / "101.webm").write_bytes(data[: len(data) // 3])
    (root / VIDEOS / "5.webm").touch()
    entries = [entry("42"), entry("7"), entry("5"), entry("../secret"), entry("43", ""), {"label": "no id"}]
    write_json(root, "train", entries)
    outcomes = {r.record if isinstance(r, Reject) else r.source_record: r for r in read_all(root)}
    assert isinstance(outcomes.pop("42"), Episode)
    assert {record: reject.reason for record, reject in outcomes.items()} == {
        "7": "7.webm: the video is missing",
        "5": "5.webm: the video has 0 bytes",
        "../secret": "id is no plain name of a video; check the JSON file",
        "43": "the entry has no label",
        "entry 5": "id is no plain name of a video; check the JSON file",
        "101": outcomes["101"].reason,
    }
    assert outcomes["101"].reason.endswith("truncated?")
    assert not any("\n" in reject.reason for reject in outcomes.values())


def test_a_wrong_root_is_told_in_one_line(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty, other = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("other")
    (other / "20bn-something-something-v2-00").touch()
    unlabelled = tmp_path_factory.mktemp("unlabelled")
    (unlabelled / VIDEOS).mkdir()
    for path, expected in (
        (root / "nowhere", "found nothing, expected a folder with 20bn-something-something-v2/<id>.webm"),
        (root / "train.json", "found a file"),
        (empty, "found an empty folder"),
        (root / VIDEOS, f"{root} is such a folder, pass that"),
        (root.parent, f"{root} is such a folder, pass that"),
        (other, "found archives (20bn-something-something-v2-00 ...)"),
        (unlabelled, "found neither train.json nor validation.json"),
    ):
        with pytest.raises(SourceError) as error:
            catalog.source("something_something")(str(path)).parts()
        assert expected in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "expected"), [("[{", "not JSON"), ('{"a": 1}', "found dict"), ("[1]", "found list")])
def test_labels_that_do_not_parse_stop_the_command(root: Path, text: str, expected: str) -> None:
    (root / "train.json").write_text(text)
    with pytest.raises(SourceError, match=expected) as error:
        catalog.source("something_something")(str(root)).parts()
    assert str(root / "train.json") in str(error.value)


def test_a_clip_of_an_unknown_codec_costs_no_other(root: Path) -> None:
    path = root / VIDEOS / "101.webm"
    path.write_bytes(path.read_bytes().replace(b"V_VP9", b"V_VXX"))
    outcomes = {r.record if isinstance(r, Reject) else r.source_record: r for r in read_all(root)}
    assert outcomes.pop("101").reason.startswith("101.webm: has a codec that is not known here")
    assert outcomes
    assert all(isinstance(episode, Episode) for episode in outcomes.values())


def test_a_label_with_half_a_letter_costs_that_letter(root: Path, tmp_path: Path) -> None:
    write_json(root, "train", [entry("42", "bad \ud800"), entry("7")])
    report = run(IngestConfig(source="something_something", root=str(root), corpus=str(tmp_path / "c"), workers=1))
    assert (report.episodes, report.rejected_records, report.rejected_parts) == (3, 0, 0)
    rows = {row["source_record"]: row for row in Corpus.open(report.corpus).table().to_pylist()}
    assert rows["42"]["instruction"] == ["bad \ufffd"]
    assert "halves of letters" in json.loads(rows["42"]["notes"])["texts_lost"]
    assert "texts_lost" not in rows["7"]["notes"]
