"""Any folder of video: windows without a table, rows with one, and every way in which a table can be wrong."""

from pathlib import Path
from typing import Any

import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support import counted_video


@pytest.fixture
def root(tmp_path: Path) -> Path:
    counted_video.write(tmp_path / "kitchen" / "my cup & co.mp4", 150, 30.0)
    counted_video.write(tmp_path / "b%20c.webm", 60, 30.0, codec="libvpx-vp9", options={"deadline": "realtime"})
    counted_video.write(tmp_path / ".hidden" / "c.mp4", 30, 30.0)
    (tmp_path / "notes.txt").write_text("x")
    return tmp_path


def read_all(root: Path, **options: Any) -> tuple[dict[str, Episode], dict[str, str]]:
    source = catalog.source("video/folder")(str(root), context_s=0.0, **options)
    found = [record for part in source.parts() for record in source.read(part)]
    episodes = {record.source_record: record for record in found if isinstance(record, Episode)}
    return episodes, {record.record: record.reason for record in found if isinstance(record, Reject)}


def frames_of(episode: Episode) -> list[int]:
    return counted_video.numbers(list(episode.cameras["primary"].jpegs))


def test_without_a_table_every_video_is_divided_into_windows(root: Path) -> None:
    episodes, rejects = read_all(root, window_s=2.0)
    assert {record: frames_of(episode) for record, episode in episodes.items()} == {
        "b%20c.webm/0": list(range(0, 60, 3)),
        "kitchen/my cup & co.mp4/0": list(range(0, 60, 3)),
        "kitchen/my cup & co.mp4/1": list(range(60, 120, 3)),
        "kitchen/my cup & co.mp4/2": list(range(120, 150, 3)),
    }
    assert rejects == {}
    assert {episode.cut.text_source for episode in episodes.values()} == {"none"}  # type: ignore[union-attr]


@pytest.mark.parametrize(("separator", "start"), [(",", ""), (";", "\ufeff"), ("\t", "")])
def test_a_table_says_what_is_cut(root: Path, separator: str, start: str) -> None:
    rows = [
        ["path", "start", "end", "text", "split", "group", "licence"],
        ["kitchen/my cup & co.mp4", "1.0", "2.5", "lift the cup", "val", "me", "CC0"],
        ["./kitchen/my cup & co.mp4", "2.0", "3.0", "turn\u00e9 it", "val", "me", "CC0"],
        ["b%20c.webm", "", "", "", "", "", ""],
    ]
    (root / "clips.csv").write_text(start + "\n".join(separator.join(row) for row in rows), encoding="utf-8")
    episodes, rejects = read_all(root)
    first = episodes["kitchen/my cup & co.mp4@2"]
    assert (frames_of(first), first.instruction) == (list(range(30, 75, 3)), ["lift the cup"])
    assert (first.split, first.licence, first.cut.split_group) == ("val", "CC0", "me")  # type: ignore[union-attr]
    assert episodes["kitchen/my cup & co.mp4@3"].instruction == ["turn\u00e9 it"]
    assert frames_of(episodes["b%20c.webm@4/0"]) == list(range(0, 60, 3))
    assert rejects == {}


def test_rows_that_are_damaged_cost_themselves(root: Path) -> None:
    rows = [
        "path,start,end,text",
        ",1,2,x",
        "../secret.mp4,1,2,x",
        "/etc/passwd,1,2,x",
        "kitchen/my cup & co.mp4,one,2,x",
        "kitchen/my cup & co.mp4,3,2,x",
        "kitchen/my cup & co.mp4,1",
        "kitchen/my cup & co.mp4,60,61,x",
        "gone.mp4,1,2,x",
        "kitchen/my cup & co.mp4,0,1,good",
    ]
    (root / "clips.csv").write_text("\n".join(rows))
    episodes, rejects = read_all(root)
    assert [episode.instruction for episode in episodes.values()] == [["good"]]
    cup = "kitchen/my cup & co.mp4"
    assert rejects == {
        "clips.csv@2": "row names no video: clips.csv line 2: path is empty",
        "../secret.mp4@3": "row leaves the root: clips.csv line 3: ../secret.mp4",
        "/etc/passwd@4": "row leaves the root: clips.csv line 4: /etc/passwd",
        f"{cup}@5": "row is damaged: clips.csv line 5: start is 'one', expected a number",
        f"{cup}@6": "ends before it starts: 3 to 2 s",
        f"{cup}@7": "row is damaged: clips.csv line 7: end is '', expected a number",
        f"{cup}@8": "60 to 61 s lies past the end of its video of 5.00 s",
        "gone.mp4": "gone.mp4: the video is missing",
    }


def test_what_is_no_folder_of_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(SourceError, match="found no video"):
        catalog.source("video/folder")(str(tmp_path)).parts()
    (tmp_path / "clips.csv").write_text("file,from,to\n1,2,3\n")
    with pytest.raises(SourceError, match="has no column path, start, end, text"):
        catalog.source("video/folder")(str(tmp_path)).parts()
