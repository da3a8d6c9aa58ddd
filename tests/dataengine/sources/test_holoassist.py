"""HoloAssist as downloaded: fine and coarse actions, wrong ones, and names of sessions that hold blanks and `%20`."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support import counted_video

SESSION = "R101- 2Aug-SmallPrinter"
OTHER = "z045-june-24-22-nespresso & co"


def fine(start: Any, end: Any, number: int = 0, **attributes: Any) -> dict[str, Any]:
    plain = {
        "Action Correctness": "Correct Action",
        "Incorrect Action Explanation": "none",
        "Incorrect Action Corrected by": "none",
        "Verb": "pull_out",
        "Adjective": "big",
        "Noun": "battery/cell",
        "adverbial": "none",
    }
    return {
        "id": number,
        "label": "Fine grained action",
        "start": start,
        "end": end,
        "type": "range",
        "attributes": {**plain, **attributes},
    }


def coarse(start: float, end: float, number: int) -> dict[str, Any]:
    said = {
        "Action sentence": "The student changes the battery.",
        "Verb": "change",
        "Adjective": "none",
        "Noun": ["battery"],
    }
    return {
        "id": number,
        "label": "Coarse grained action",
        "start": start,
        "end": end,
        "type": "range",
        "attributes": said,
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    wrong = {
        "Action Correctness": "Wrong Action, corrected by instructor",
        "Incorrect Action Corrected by": "instructor",
    }
    events = [
        fine(1.0, 2.5),
        fine(3.0, 4.0, 1, **wrong, adverbial="from the camera", Adjective="none"),
        fine("?", 4.0, 2),
        fine(60.0, 61.0, 3),
        coarse(0.5, 4.5, 4),
        {"id": 5, "label": "Narration", "start": 0, "end": 9, "attributes": {"Long form description": "a task"}},
    ]
    sessions = [
        {"video_name": SESSION, "taskId": 1, "taskType": "SmallPrinter", "videoMetadata": {}, "events": events},
        {"video_name": OTHER, "taskId": 2, "taskType": "nespresso", "videoMetadata": {}, "events": [fine(0.0, 1.0)]},
    ]
    (tmp_path / "data-annotation-trainval-v1_1.json").write_text(json.dumps(sessions))
    (tmp_path / "data-splits-v1_2").mkdir()
    (tmp_path / "data-splits-v1_2" / "val-v1_2.txt").write_text(f"{OTHER.replace(' ', '%20')}\n")
    (tmp_path / "data-splits-v1_2" / "train-v1_2.txt").write_text(f"{SESSION}\n")
    folder = tmp_path / "video_pitch_shifted" / SESSION.replace(" ", "%20")
    counted_video.write(folder / "Export_py" / "Video_pitchshift.mp4", 150, 30.0)
    counted_video.write(tmp_path / OTHER / "Export_py" / "Video_compress.mp4", 60, 30.0)
    return tmp_path


def read_all(root: Path, **options: Any) -> tuple[dict[str, Episode], dict[str, str]]:
    source = catalog.source("holoassist")(str(root), **options)
    outcomes = [record for part in source.parts() for record in source.read(part)]
    episodes = {record.source_record: record for record in outcomes if isinstance(record, Episode)}
    return episodes, {record.record: record.reason for record in outcomes if isinstance(record, Reject)}


def test_a_fine_action_has_its_frames_and_a_phrase_of_its_classes(root: Path) -> None:
    episodes, rejects = read_all(root, context_s=0.0)
    first = episodes[f"{SESSION}/Fine grained action/0"]
    assert counted_video.numbers(list(first.cameras["primary"].jpegs)) == list(range(30, 75, 3))
    assert first.instruction == ["pull out the big battery"]
    assert (first.split, first.cut.split_group, first.cut.text_source) == ("train", "R101", "template")  # type: ignore[union-attr]
    wrong = episodes[f"{SESSION}/Fine grained action/1"]
    assert wrong.instruction == ["pull out the battery from the camera"]
    assert wrong.notes["correctness"] == "Wrong Action, corrected by instructor"
    assert (wrong.notes["corrected_by"], wrong.notes["task"]) == ("instructor", "SmallPrinter")
    other = episodes[f"{OTHER}/Fine grained action/0"]
    assert other.split == "val"
    assert rejects == {
        f"{SESSION}/Fine grained action/2": "event has no times: start '?', end 4.0",
        f"{SESSION}/Fine grained action/3": "60 to 61 s lies past the end of its video of 5.00 s",
    }


def test_coarse_actions_are_sentences_of_the_publisher(root: Path) -> None:
    episodes, _ = read_all(root, labels="coarse")
    (only,) = episodes.values()
    assert only.instruction == ["The student changes the battery."]
    assert (only.cut.text_source, only.notes["noun"]) == ("publisher", "battery")  # type: ignore[union-attr]
    assert len(read_all(root, labels="both")[0]) == 4


@pytest.mark.parametrize(
    ("text", "said"), [(None, "found no data-annotation"), ("{}", "not the JSON that HoloAssist ships")]
)
def test_annotations_that_are_missing_or_damaged_are_named(root: Path, text: str | None, said: str) -> None:
    path = root / "data-annotation-trainval-v1_1.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(SourceError, match=said):
        catalog.source("holoassist")(str(root)).parts()
