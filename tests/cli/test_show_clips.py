"""What commands that look at a corpus say of clips: which stretch of which video, how many, and what is missing."""

import pytest

from tests.support import counted_video

ROWS = ["cup.mp4,1,1.5,lift the cup,anna", *(f"cup.mp4,{k},{k + 1},turn it,anna" for k in range(25))]


@pytest.fixture
def corpus(villa, tmp_path):
    root = tmp_path / "videos"
    counted_video.write(root / "cup.mp4", 26 * 5, 5.0)
    rows = ["path,start,end,text,group", *ROWS, "gone.mp4,0,1,lift,ben"]
    (root / "clips.csv").write_text("\n".join(rows))
    uri = tmp_path / "corpus"
    assert villa("ingest", "video/folder", root, "--corpus", uri, "--workers", 1).code == 0
    return uri


def test_an_episode_tells_its_clip_and_its_label(villa, corpus):
    listed = villa("show", corpus, "video/videos", "--limit", 0, "--json").report["examples"]
    (short,) = (each for each in listed if "lift the cup" in each["instruction"])
    said = villa("show", corpus, short["episode_id"])
    label = "0.25 to 2.25 s of video cup.mp4, labelled 1.00 to 1.50 s, split group anna, text by publisher"
    assert f"clip {label}" in " ".join(said.out.split())


def test_episodes_of_a_dataset_are_listed_and_how_many_are_not(villa, corpus):
    said = villa("show", corpus)
    assert len(said.out.split("EPISODE`:")[1].strip().splitlines()) == 2 + 2 + 1
    assert f"and 24 more: `villa show {corpus} video/videos --limit 0` lists all of a dataset" in said.out
    assert len(villa("show", corpus, "video/videos", "--json").report["examples"]) == 20
    every = villa("show", corpus, "video/videos", "--limit", 0)
    assert "all of them, each for" in every.out
    assert "more:" not in every.out


def test_a_missing_video_is_one_row_of_rejects(villa, corpus):
    report = villa("corpus", "rejects", corpus, "--json").report
    assert [(each["record"], each["reason"]) for each in report["rejects"]] == [
        ("gone.mp4", "gone.mp4: the video is missing")
    ]
    assert [(why["count"], why["reason"]) for why in report["reasons"]] == [(1, "gone.mp4: the video is missing")]
    assert (report["parts"], report["records"]) == (1, 1)


def test_numbers_of_curation_are_counted_not_listed(villa, corpus):
    assert villa("curate", corpus).code == 0
    said = villa("corpus", "info", corpus)
    (line,) = (line for line in said.out.splitlines() if line.startswith("added columns: "))
    assert "keep" in line
    assert line.count("quality__") == 1
    assert "quality__* of curation (--json names them)" in line
