"""EPIC-KITCHENS-100 as downloaded: labels by time, whatever clock the table's frame numbers are on."""

from pathlib import Path

import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support import counted_video

HEAD = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)


def row(narration_id: str, start: str, stop: str, narration: str = "put down plate", frames: str = "1,999") -> str:
    participant, video, _ = narration_id.split("_")
    about = f"{participant},{participant}_{video},{start}0,{start},{stop},{frames}"
    return f"{narration_id},{about},{narration},put-down,1,plate,2,['plate'],[2]"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    annotations = tmp_path / "annotations"
    annotations.mkdir()
    rows = [
        row("P01_01_1", "00:00:01.00", "00:00:02.50", '"take plate, then cup"'),
        row("P01_01_0", "00:00:00.14", "00:00:00.64"),
        row("P01_01_2", "00:00:0x.00", "00:00:02.50"),
        row("P01_01_3", "00:01:00.00", "00:01:02.50"),
        "P01_01_4,P01,P01_01,,00:00:01.00",
    ]
    (annotations / "EPIC_100_train.csv").write_text("\n".join([HEAD, *rows]), encoding="utf-8-sig")
    (annotations / "EPIC_100_validation.csv").write_text(
        "\n".join([HEAD, row("P02_101_0", "00:00:01.00", "00:00:03.00")])
    )
    folder = tmp_path / "EPIC-KITCHENS"
    counted_video.write(folder / "P01" / "videos" / "P01_01.MP4", 240, 60000 / 1001)
    counted_video.write(
        folder / "P02" / "videos" / "P02_101.MP4", 200, 50.0, codec="libx265", options={"x265-params": "log-level=none"}
    )
    return tmp_path


def read_all(root: Path, **settings: float) -> tuple[dict[str, Episode], dict[str, str]]:
    source = catalog.source("epic_kitchens")(str(root), **settings)  # type: ignore[arg-type]
    outcomes = [record for part in source.parts() for record in source.read(part)]
    episodes = {record.source_record: record for record in outcomes if isinstance(record, Episode)}
    return episodes, {record.record: record.reason for record in outcomes if isinstance(record, Reject)}


def frames_of(episode: Episode) -> list[int]:
    return counted_video.numbers(list(episode.cameras["primary"].jpegs))


def test_clips_hold_the_frames_at_their_times_at_every_rate(root: Path) -> None:
    episodes, _ = read_all(root, frame_hz=10.0, context_s=0.0)
    wanted = [round((1 + k / 10) * 60000 / 1001) for k in range(15)]
    assert frames_of(episodes["P01_01_1"]) == wanted
    assert frames_of(episodes["P02_101_0"]) == list(range(50, 150, 5))


def test_text_split_participant_and_verb_come_from_the_row(root: Path) -> None:
    episodes, _ = read_all(root)
    first, other = episodes["P01_01_1"], episodes["P02_101_0"]
    assert first.instruction == ["take plate, then cup"]
    assert (first.split, other.split, other.licence) == ("train", "val", "CC BY-NC 4.0")
    assert (first.notes["verb"], first.notes["noun"]) == ("put-down", "plate")
    assert first.cut is not None
    assert (first.cut.split_group, first.cut.text_source) == ("P01", "publisher")
    assert (episodes["P01_01_0"].cut.clip_end_s, episodes["P01_01_0"].num_steps) == (2.0, 20)  # type: ignore[union-attr]


def test_a_damaged_row_costs_itself(root: Path) -> None:
    episodes, rejects = read_all(root)
    assert len(episodes) == 3
    assert rejects["P01_01_2"] == (
        "row is damaged: EPIC_100_train.csv line 4: start_timestamp is '00:00:0x.00', expected HH:MM:SS.cc"
    )
    assert rejects["P01_01_3"] == "60 to 62.5 s lies past the end of its video of 4.00 s"
    assert rejects["P01_01_4"].startswith("row is damaged: EPIC_100_train.csv line 6: stop_timestamp is ''")


def test_a_folder_without_tables_says_where_they_come_from(tmp_path: Path) -> None:
    (tmp_path / "P01").mkdir()
    with pytest.raises(SourceError, match="clone epic-kitchens-100-annotations into it"):
        catalog.source("epic_kitchens")(str(tmp_path)).parts()


def test_a_video_that_both_splits_list_is_cut_once(root: Path) -> None:
    table = root / "annotations" / "EPIC_100_validation.csv"
    table.write_text("\n".join([HEAD, row("P01_01_1", "00:00:01.00", "00:00:03.00")]))
    episodes, rejects = read_all(root)
    assert episodes["P01_01_1"].split == "train"
    assert rejects["P01_01_1"] == (
        "its video was listed before: EPIC-KITCHENS/P01/videos/P01_01.MP4, here as val; its first place counts, train"
    )
    names = [part.name for part in catalog.source("epic_kitchens")(str(root)).parts()]
    assert names == ["P01_01", "P01_01 (2)"]
