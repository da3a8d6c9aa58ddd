"""`villa ingest video/folder`: what is wrong with a video or a row is one reject with its place; the rest arrives."""

from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from dataengine.store import Corpus
from tests.support import bad_videos, counted_video

WHOLE = [list(range(0, 60, 3)), list(range(60, 100, 3))]
"""Frames of the two windows of a video of 100 frames."""


def clips_of(corpus: Path) -> dict[str, list[np.ndarray]]:
    """Pictures of each clip, by its record."""
    opened = Corpus.open(str(corpus))
    clips = {}
    for row in opened.kept().table(["episode_id", "source_record", "num_steps"]).to_pylist():
        wanted = [(row["episode_id"], i) for i in range(row["num_steps"])]
        jpegs = opened.jpegs("primary", wanted)
        clips[row["source_record"]] = [simplejpeg.decode_jpeg(bytes(jpeg), "RGB") for jpeg in jpegs]
    return clips


def rejects_of(corpus: Path) -> dict[str, str]:
    rows = Corpus.open(str(corpus)).rejects().to_pylist()
    assert all("\n" not in row["reason"] for row in rows)
    return {row["record"]: row["reason"] for row in rows if row["record"]}


def numbers(pictures: list[np.ndarray]) -> list[int]:
    return [counted_video.number(picture) for picture in pictures]


@pytest.mark.slow
def test_every_kind_of_video_arrives_or_says_why_not(villa, tmp_path):
    root, corpus = tmp_path / "videos", tmp_path / "corpus"
    sound = counted_video.write(root / "a b & c%20d.mp4", bad_videos.NUM_FRAMES)
    for name, matrix in {
        "mirrored": bad_videos.MIRRORED,
        "turned": bad_videos.QUARTER_TURN,
        "slanted": bad_videos.SLANTED,
    }.items():
        (root / f"{name}.mp4").write_bytes(bad_videos.shown_by(sound.read_bytes(), matrix))
    bad_videos.write_live_webm(root / "live.webm")
    bad_videos.write_two_streams(root / "two.mp4")
    bad_videos.write_sound(root / "sound.mp4")
    bad_videos.cut_short(root / "short.mp4")
    (root / "no index.mp4").write_bytes(sound.read_bytes()[:3000])
    (root / "empty.mp4").write_bytes(b"")
    bad_videos.write_timed(root / "late.mkv", [1.5 + i / 30 for i in range(55)], sound_s=3.0)
    bad_videos.write_timed(root / "lasts.mkv", [*(i / 10 for i in range(11)), 2.9])

    said = villa("ingest", "video/folder", root, "--corpus", corpus, "--window-s", 2, "--context-s", 0, "--workers", 1)
    assert said.code == 0
    assert "8 of 12 parts committed" in said.out, rejects_of(corpus)
    clips = clips_of(corpus)
    for name in ("a b & c%20d.mp4", "live.webm", "two.mp4"):
        assert [numbers(clips.pop(f"{name}/{i}")) for i in range(2)] == WHOLE
    for i in range(2):
        assert numbers([np.fliplr(picture) for picture in clips.pop(f"mirrored.mp4/{i}")]) == WHOLE[i]
        assert numbers([np.rot90(picture) for picture in clips.pop(f"turned.mp4/{i}")]) == WHOLE[i]
    assert numbers(clips.pop("late.mkv/0")) == list(range(0, 15, 3))  # from 1.5 s on
    assert numbers(clips.pop("late.mkv/1")) == list(range(15, 55, 3))
    assert numbers(clips.pop("lasts.mkv/0")) == [
        *range(11),
        *[10] * 9,
        *[11] * 10,
    ]  # each instant shows what is nearest
    assert numbers(clips.pop("short.mp4/0"))[:3] == [0, 3, 6]
    assert not clips
    rejects = rejects_of(corpus)
    assert rejects.pop("short.mp4/1").endswith("truncated?")
    assert {record: reason.partition(" (")[0] for record, reason in rejects.items()} == {
        "slanted.mp4": "slanted.mp4: is shown at a slant, expected quarter turns and mirrors; encode it anew, upright",
        "sound.mp4": "sound.mp4: has no video stream",
        "no index.mp4": "no index.mp4: not a readable video",
        "empty.mp4": "empty.mp4: the video has 0 bytes",
    }


ROWS = [
    ("path", "start", "end", "text"),
    ("cup & %20.mp4", "0", "1", "good"),
    ("cup & %20.mp4", "2", "1", "inverted"),
    ("cup & %20.mp4", "1", "1", "of no length"),
    ("cup & %20.mp4", "-3", "-1", "before the video"),
    ("cup & %20.mp4", "-1", "1", "begins before it"),
    ("cup & %20.mp4", "7", "8", "past its end"),
    ("cup & %20.mp4", "2", "9", "ends past it"),
    ("cup & %20.mp4", "0"),
    ("cup & %20.mp4", "nan", "1", "no number"),
    ("../other.mp4", "0", "1", "leaves the root"),
    ("link.mp4", "0", "1", "leaves it by a link"),
    ("gone.mp4", "0", "1", "missing"),
    ("cup & %20.mp4", "1", "2", "\u00e9t\u00e9"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("separator", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-16"), (";", "cp1252")]
)
def test_every_kind_of_row_arrives_or_says_why_not(villa, tmp_path, separator, encoding):
    root, corpus = tmp_path / "videos", tmp_path / "corpus"
    counted_video.write(root / "cup & %20.mp4", 90)
    (root / "link.mp4").symlink_to(counted_video.write(tmp_path / "other.mp4", 90))
    (root / "clips.csv").write_bytes("\r\n".join(separator.join(row) for row in ROWS).encode(encoding))
    said = villa("ingest", "video/folder", root, "--corpus", corpus, "--context-s", 0, "--workers", 1)
    assert said.code == 0, said.err
    cup = "cup & %20.mp4"
    assert {record: numbers(pictures) for record, pictures in clips_of(corpus).items()} == {
        f"{cup}@0-1": list(range(0, 30, 3)),
        f"{cup}@-1-1": list(range(0, 30, 3)),
        f"{cup}@2-9": list(range(60, 90, 3)),
        f"{cup}@1-2": list(range(30, 60, 3)),
    }
    table = Corpus.open(str(corpus)).kept().table(["source_record", "instruction", "notes"]).to_pylist()
    said_of = {row["source_record"]: row["instruction"] for row in table}
    assert said_of[f"{cup}@1-2"] == ["\u00e9t\u00e9"]
    rejects = rejects_of(corpus)
    assert rejects.pop("link.mp4").startswith("link.mp4 leads out of the root to ")
    assert rejects == {
        f"{cup}@2-1": "ends before it starts: 2 to 1 s",
        f"{cup}@1-1": "too short: 0.000 s, at least 0.001 s are kept",
        f"{cup}@-3--1": "lies before the video: -3 to -1 s",
        f"{cup}@7-8": "7 to 8 s lies past the end of its video of 3.00 s",
        f"{cup} line 9": "row is damaged: clips.csv line 9: end is '', expected a number",
        f"{cup}@nan-1": "times are no numbers: nan to 1.0 s",
        "../other.mp4 line 11": "row leaves the root: clips.csv line 11: ../other.mp4",
        "gone.mp4": "gone.mp4: the video is missing",
    }


@pytest.mark.slow
def test_a_missing_video_comes_in_by_the_same_command_once(villa, tmp_path):
    root, corpus = tmp_path / "videos", tmp_path / "corpus"
    counted_video.write(root / "there.mp4", 60)
    rows = ["path,start,end,text", "there.mp4,0,1,a", *(f"gone{c}/my {c}.mp4,0,1,b" for c in "abcdefgh")]
    (root / "clips.csv").write_text("\n".join(rows))
    command = ("ingest", "video/folder", root, "--corpus", corpus, "--workers", 1)
    lines = villa(*command).out.splitlines()
    assert lines[0].startswith("1 of 9 parts committed: 1 episodes")
    assert lines[1].startswith("rejected: 8 parts, 8 records")
    assert lines[2] == "  8 x the video is missing (the first: gonea/my a.mp4)"
    counted_video.write(root / "gonec" / "my c.mp4", 60)
    assert villa(*command).out.startswith("1 of 9 parts committed: 1 episodes")
    assert len(clips_of(corpus)) == 2
    assert villa(*command).out.startswith("nothing to do: 2 of 9 parts are in")
    assert len(clips_of(corpus)) == 2
    assert set(rejects_of(corpus).values()) == {f"my {c}.mp4: the video is missing" for c in "abdefgh"}
    assert villa("corpus", "verify", corpus, "--deep").code == 0
