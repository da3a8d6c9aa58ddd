"""Any folder of video: windows without a table, rows with one, and every way in which a table can be wrong."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
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
    outcomes = [record for part in source.parts() for record in source.read(part)]
    episodes = {record.source_record: record for record in outcomes if isinstance(record, Episode)}
    return episodes, {record.record: record.reason for record in outcomes if isinstance(record, Reject)}


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
    first = episodes["kitchen/my cup & co.mp4@1-2.5"]
    assert (frames_of(first), first.instruction) == (list(range(30, 75, 3)), ["lift the cup"])
    assert (first.split, first.licence, first.cut.split_group) == ("val", "CC0", "me")  # type: ignore[union-attr]
    assert episodes["kitchen/my cup & co.mp4@2-3"].instruction == ["turn\u00e9 it"]
    assert frames_of(episodes["b%20c.webm/0"]) == list(range(0, 60, 3))
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
        "kitchen/my cup & co.mp4,1,2,put the cup, gently",
        'kitchen/my cup & co.mp4,2,3,"put',
        "kitchen/my cup & co.mp4,3,4,swallowed",
    ]
    (root / "clips.csv").write_text("\n".join(rows))
    episodes, rejects = read_all(root)
    assert [episode.instruction for episode in episodes.values()] == [["good"]]
    cup = "kitchen/my cup & co.mp4"
    assert rejects == {
        "clips.csv line 2": "row names no video: clips.csv line 2: path is empty",
        "../secret.mp4 line 3": "row leaves the root: clips.csv line 3: ../secret.mp4",
        "/etc/passwd line 4": "row leaves the root: clips.csv line 4: /etc/passwd",
        f"{cup} line 5": "row is damaged: clips.csv line 5: start is 'one', expected a number",
        f"{cup}@3-2": "ends before it starts: 3 to 2 s",
        f"{cup} line 7": "row is damaged: clips.csv line 7: end is '', expected a number",
        f"{cup}@60-61": "60 to 61 s lies past the end of its video of 5.00 s",
        "gone.mp4": "gone.mp4: the video is missing",
        f"{cup} line 11": "row is damaged: clips.csv line 11: 'gently' behind its last column; "
        "put quotes around its text",
        f"{cup} line 13": "row is damaged: clips.csv line 13: its text goes on over lines, "
        "'put\\nkitchen/my cup & co.mp4,3,4,swallowe'; a quote that is not closed?",
    }


def test_rows_of_one_video_agree_on_what_holds_for_all_of_it(root: Path) -> None:
    rows = [
        "path,start,end,text,split,group",
        "b%20c.webm,0,1,a,val,me",
        "b%20c.webm,1,2,b,,",
        "b%20c.webm,0.5,1.5,c,train,me",
    ]
    (root / "clips.csv").write_text("\n".join(rows))
    episodes, rejects = read_all(root)
    assert [(e.split, e.cut.split_group) for e in episodes.values()] == [("val", "me")] * 2  # type: ignore[union-attr]
    assert list(rejects.values()) == [
        "row contradicts another: clips.csv line 4: split is 'train', an earlier row of its video says 'val'"
    ]


def test_a_record_is_its_range_not_its_line(root: Path) -> None:
    rows = ["path,start,end,text", "b%20c.webm,nan,1,bad", "b%20c.webm,0.5,1.5,c"]
    (root / "clips.csv").write_text("\n".join(rows))
    before = list(read_all(root)[0])
    (root / "clips.csv").write_text("\n".join([rows[0], rows[2]]))
    assert list(read_all(root)[0]) == before == ["b%20c.webm@0.5-1.5"]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="trims with the ffmpeg command")
def test_a_video_that_was_trimmed_without_a_new_encode_keeps_its_end(root: Path) -> None:
    whole = counted_video.write(root / "whole.mp4", 240, 30.0, options={"g": "120"})
    command = ["ffmpeg", "-v", "error", "-ss", "2.5", "-i", str(whole), "-c", "copy", str(root / "trimmed.mp4")]
    subprocess.run(command, check=True)
    (root / "clips.csv").write_text("path,start,end,text\ntrimmed.mp4,4,5.5,late\ntrimmed.mp4,0,1,first\n")
    episodes, rejects = read_all(root)
    assert rejects == {}
    assert frames_of(episodes["trimmed.mp4@0-1"])[:2] == [75, 78]
    assert len(frames_of(episodes["trimmed.mp4@4-5.5"])) == 15


def test_a_label_that_ends_past_its_video_says_so(root: Path) -> None:
    (root / "clips.csv").write_text("path,start,end,text\nb%20c.webm,1,9,turn\n")
    (episode,) = read_all(root)[0].values()
    assert episode.notes["clamped"] == "ends 7.00 s past the video's end"


def test_what_is_no_folder_of_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(SourceError, match="found no video"):
        catalog.source("video/folder")(str(tmp_path)).parts()
    (tmp_path / "clips.csv").write_text("file,from,to\n1,2,3\n")
    with pytest.raises(SourceError, match="has no column path, start, end, text"):
        catalog.source("video/folder")(str(tmp_path)).parts()


def test_a_text_holds_from_its_labels_start_though_the_picture_shown_then_is_older(root: Path) -> None:
    with av.open(str(root / "slow.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for number, tick in enumerate([0, 54, *range(60, 150)]):  # shown at 0 s and 1.8 s, then 30 in a second
            frame = av.VideoFrame.from_ndarray(counted_video.picture(number), format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (root / "clips.csv").write_text("path,start,end,text\nslow.mp4,0.7,3.0,turn\n")
    (episode,) = read_all(root)[0].values()
    (text,) = episode.texts
    assert (text.start, text.end, episode.num_steps) == (0, 23, 23)


@pytest.mark.parametrize("source", ["video/folder", "egocentric_10k", "ho_cap"])
@pytest.mark.parametrize(
    ("option", "value"), [("window_s", 0.1), ("window_s", 1e9), ("window_s", float("nan")), ("context_s", float("nan"))]
)
def test_windows_and_context_have_bounds(tmp_path: Path, source: str, option: str, value: float) -> None:
    with pytest.raises(SourceError, match=f"{option} is {value:g}, expected".replace("+", r"\+")):
        catalog.source(source)(str(tmp_path), **{option: value})
