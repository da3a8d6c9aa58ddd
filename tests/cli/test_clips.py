"""`villa clips`: what would be cut of human video, on screen, as JSON and as a page."""

from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from tests.support import counted_video

TABLE = """path,start,end,text
cup.mp4,1.0,2.5,lift the cup
cup.mp4,2.0,2.4,the person turns <script>alert(1)</script>
cup.mp4,3,2,x
bowl.mp4,0,1,stir
gone.mp4,0,1,lift
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    counted_video.write(folder / "cup.mp4", 150, 30.0)
    counted_video.write(folder / "bowl.mp4", 60, 30.0)
    (folder / "clips.csv").write_text(TABLE)
    return folder


def test_clips_are_counted_without_a_decode(villa, root):
    (root / "bowl.mp4").write_bytes(b"no video")
    said = villa("clips", "video/folder", root, "--context-s", "1", "--json")
    assert said.code == 0
    report = said.report
    assert (report["videos"], report["clips"], report["missing_videos"], report["missing_clips"]) == (3, 4, 1, 1)
    assert report["label_hours"] * 3600 == pytest.approx(1.5 + 0.4 + 1 + 1, abs=1e-4)
    assert report["clip_hours"] * 3600 == pytest.approx(1.5 + 1.0 + 1 + 1, abs=1e-4)
    assert {each["from_s"]: each["clips"] for each in report["lengths"] if each["clips"]} == {0.25: 1, 1.0: 3}
    assert report["verbs"] == {"lift": 2, "turns": 1, "stir": 1}
    assert [(each["reason"], each["labels"]) for each in report["skipped"]] == [("ends before it starts", 1)]


def test_the_screen_says_what_is_missing_and_left_out(villa, root):
    said = villa("clips", "video/folder", root)
    assert said.code == 0
    assert "missing: 1 video with 1 clip, read by the same `villa ingest` once there, such as gone.mp4" in said.out
    assert "ends before it starts" in said.out
    assert "cup.mp4@3-2" in said.out


def test_a_page_shows_a_sample_as_ingest_cuts_it(villa, root, tmp_path):
    (root / "bowl.mp4").write_bytes(b"no video")
    said = villa("clips", "video/folder", root, "--context-s", "0", "--page", tmp_path / "page", "--sample", "5")
    assert said.code == 0
    page = (tmp_path / "page" / "index.html").read_text()
    assert "<script>" not in page
    assert "bowl.mp4: not a readable video" in page
    (picture,) = (tmp_path / "page" / "clips").iterdir()
    strip = simplejpeg.decode_jpeg(picture.read_bytes(), "RGB")
    first, *_, last = (counted_video.number(frame) for frame in np.split(strip, strip.shape[1] // 128, axis=1))
    assert (first, last) in ((30, 72), (60, 69))  # the last frame at 10 Hz before 2.5 s, or before 2.4 s


@pytest.mark.parametrize(("fit", "size"), [("squash", (64, 64)), ("pad", (64, 64)), ("crop", (64, 64))])
def test_the_page_shows_frames_in_the_shape_that_they_will_have(villa, root, tmp_path, fit, size):
    options = ("--fit", fit, "--frame-size", 64, "--page", tmp_path / "page", "--sample", 1)
    assert villa("clips", "video/folder", root, *options).code == 0
    (picture,) = (tmp_path / "page" / "clips").iterdir()
    strip = simplejpeg.decode_jpeg(picture.read_bytes(), "RGB")
    assert (strip.shape[0], strip.shape[1] % size[1]) == (64, 0)
    assert (strip[0].max() < 12) == (fit == "pad")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("--frame-hs", "--frame-hz"), ("--window", "--window-s"), ("--fitt", "--fit"), ("--sampel", "--sample")],
)
def test_an_option_that_is_misspelt_is_answered_with_the_nearest(villa, root, typed, meant):
    said = villa("clips", "video/folder", root, typed, 5)
    assert said.code == 2
    assert f"video/folder has no option '{typed}'; did you mean '{meant}'?" in said.line


def test_sources_that_are_no_video_are_refused(villa, tmp_path):
    said = villa("clips", "agibot", tmp_path)
    assert said.code == 2
    assert "agibot is no source that cuts clips out of videos; those are ego4d, " in said.err
