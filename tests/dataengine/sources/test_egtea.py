"""EGTEA Gaze+ as downloaded: whole sessions or trimmed clips, each clip's frames read off the pictures."""

from pathlib import Path

import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support import counted_video

SESSION = "OP01-R01-PastaSalad"
RATE_HZ = 24.0
LABELS = f"""# clip id; prefix; session; start; end; action; verb; nouns
1; {SESSION}-1000-3500-F000020-F000089; {SESSION}; 1000; 3500; Open_Fridge; Open; Fridge
2; {SESSION}-3000-3500-F000070-F000090; {SESSION}; 3000; 3500; Take_Bread; Take; Bread
3; {SESSION}-3900-3800-F000020-F000080; {SESSION}; 3900; 3800; Cut_Bread; Cut; Bread
4; {SESSION}-90000-98000-F002160-F002360; {SESSION}; 90000; 98000; Cut_Bread; Cut; Bread
5; {SESSION}-soon; {SESSION}; soon; 4000; Cut_Bread; Cut; Bread
6; OP02-R01-Burger-1000-3000-F000020-F000080; OP02-R01-Burger; 1000; 3000; Wash_Hand; Wash; Hand
7; x
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    table = tmp_path / "egtea" / "action_annotation" / "raw_annotations" / "action_labels.csv"
    table.parent.mkdir(parents=True)
    table.write_text(LABELS)
    return tmp_path / "egtea"


def read_all(root: Path, **settings: float) -> tuple[dict[str, Episode], dict[str, str]]:
    source = catalog.source("egtea")(str(root), **settings)  # type: ignore[arg-type]
    outcomes = [record for part in source.parts() for record in source.read(part)]
    episodes = {record.source_record: record for record in outcomes if isinstance(record, Episode)}
    return episodes, {record.record: record.reason for record in outcomes if isinstance(record, Reject)}


def frames_of(episode: Episode) -> list[int]:
    return counted_video.numbers(list(episode.cameras["primary"].jpegs))


def test_clips_of_a_whole_session_hold_the_frames_of_their_labels(root: Path) -> None:
    counted_video.write(root / "videos" / f"{SESSION}.mp4", 120, RATE_HZ)
    episodes, rejects = read_all(root, frame_hz=8.0, context_s=1.0)
    first = episodes[f"{SESSION}-1000-3500-F000020-F000089"]
    assert frames_of(first) == list(range(24, 84, 3))
    assert (first.instruction, first.texts[0].start, first.texts[0].end) == (["open fridge"], 0, 20)
    second = episodes[f"{SESSION}-3000-3500-F000070-F000090"]
    assert frames_of(second) == list(range(66, 90, 3))
    assert (second.texts[0].start, second.texts[0].end) == (2, 6)
    cut = second.cut
    assert cut is not None
    assert (cut.label_start_s, cut.label_end_s, cut.clip_start_s, cut.clip_end_s) == (3.0, 3.5, 2.75, 3.75)
    assert (cut.video, cut.split_group, cut.text_source) == (SESSION, "OP01", "template")
    assert rejects == {
        "raw_annotations/action_labels.csv line 6": "row is damaged: start_ms is 'soon', expected a number",
        "raw_annotations/action_labels.csv line 8": "row is damaged: 2 fields, expected 8",
        f"{SESSION}-3900-3800-F000020-F000080": "ends before it starts: 3.9 to 3.8 s",
        f"{SESSION}-90000-98000-F002160-F002360": "90 to 98 s lies past the end of its video of 5.00 s",
        "OP02-R01-Burger": "OP02-R01-Burger.mp4: the video is missing",
    }


def test_a_trimmed_clip_begins_before_its_action(root: Path) -> None:
    name = f"{SESSION}-1000-3500-F000020-F000089"
    counted_video.write(root / "cropped_clips" / SESSION / f"{name}.mp4", 70, RATE_HZ)
    episodes, rejects = read_all(root, frame_hz=24.0)
    assert frames_of(episodes[name]) == list(range(4, 64))  # 1 s is frame 24 of the session, 20 come before this file
    assert f"{SESSION}-3000-3500-F000070-F000090" in rejects


def test_splits_name_the_clips_where_the_table_is_not_there(root: Path) -> None:
    (root / "action_annotation" / "raw_annotations" / "action_labels.csv").unlink()
    folder = root / "action_annotation"
    (folder / "action_idx.txt").write_text("Open_Fridge 1\nTake_Bread 2\n")
    (folder / "train_split1.txt").write_text(f"{SESSION}-1000-3500-F000020-F000089 1 1 3 \n")
    (folder / "test_split1.txt").write_text(f"{SESSION}-3000-3500-F000070-F000090 2 1 4\nbroken 1 1\n")
    counted_video.write(root / f"{SESSION}.mp4", 120, RATE_HZ)
    episodes, rejects = read_all(root)
    assert [e.instruction for e in episodes.values()] == [["open fridge"], ["take bread"]]
    assert list(rejects) == ["test_split1.txt line 2"]


def test_a_folder_without_annotations_is_named(tmp_path: Path) -> None:
    counted_video.write(tmp_path / "videos" / f"{SESSION}.mp4", 10, RATE_HZ)
    with pytest.raises(SourceError, match=r"found no action_annotation/raw_annotations/action_labels\.csv"):
        catalog.source("egtea")(str(tmp_path)).parts()
