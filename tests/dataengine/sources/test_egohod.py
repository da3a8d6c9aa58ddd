"""EgoHOD's captions over Ego4D's videos: either naming of its columns, lists of paraphrases, rows that are damaged."""

import json
from pathlib import Path

import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support import counted_video

A, B = "aaaa-1", "bbbb-2"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    plain = {"duration_sec": 8.0, "is_stereo": False, "split_em": None, "split_av": None, "split_fho": None}
    videos = [{"video_uid": uid, "redacted_intervals": None, **plain} for uid in (A, B)]
    (tmp_path / "ego4d.json").write_text(json.dumps({"videos": videos, "concurrent_video_sets": []}))
    counted_video.write(
        tmp_path / "v2" / "full_scale" / f"{A}.mp4", 240, 30.0, codec="libvpx-vp9", options={"deadline": "realtime"}
    )
    return tmp_path


def read_all(root: Path) -> tuple[list[Episode], dict[str, str]]:
    source = catalog.source("egohod")(str(root))
    outcomes = [record for part in source.parts() for record in source.read(part)]
    episodes = [record for record in outcomes if isinstance(record, Episode)]
    return episodes, {record.record: record.reason for record in outcomes if isinstance(record, Reject)}


@pytest.mark.parametrize("column", ["caption", "text"])
def test_rows_become_clips_of_ego4ds_videos(root: Path, column: str) -> None:
    rows = [
        f"dataset,video_id,start_second,end_second,{column}",
        f'ego4d,{A},1.0,4.0,"[\'the left hand picks up a bag\', ""the person\'s left hand\\nlifts a bag""]"',
        f"ego4d,{B},1.0,2.0,cuts bread",
        f"howto100m,{A},1.0,2.0,cuts bread",
        f"ego4d,{A},one,2.0,cuts bread",
        f'ego4d,{A},5.0,7.5,"[unclosed"',
    ]
    (root / "ego_hod.csv").write_text("\n".join(rows))
    episodes, rejects = read_all(root)
    assert [e.instruction for e in episodes] == [
        ["the left hand picks up a bag", "the person's left hand lifts a bag"],
        ["[unclosed"],
    ]
    first = episodes[0]
    assert counted_video.numbers(list(first.cameras["primary"].jpegs)) == list(range(30, 120, 3))
    assert first.cut is not None
    assert (first.cut.text_source, first.source_record) == ("llm", f"{A}/1.0-4.0")
    assert rejects == {
        f"{A}/1.0-2.0": "of another dataset: howto100m",
        f"{A}/one-2.0": "row is damaged: ego_hod.csv line 5: start_second is 'one', expected a number",
        B: f"{B}.mp4: the video is missing",
    }


def test_a_table_without_its_columns_is_named(root: Path) -> None:
    (root / "ego_hod.csv").write_text("video,start,end\n1,2,3\n")
    with pytest.raises(SourceError, match="has no column video_id, start_second, end_second, text"):
        catalog.source("egohod")(str(root)).parts()
