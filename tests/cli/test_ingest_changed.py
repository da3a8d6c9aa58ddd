"""`villa ingest` of what a corpus holds already, in another form: it says what differs, and mixes up nothing."""

from collections import Counter
from pathlib import Path

import pytest

from dataengine.store import Corpus
from tests.support import counted_video


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return tmp_path / "corpus"


def ingest(villa, root, corpus, *options):
    return villa("ingest", "video/folder", root, "--corpus", corpus, "--workers", 1, *options)


def counted(corpus):
    return Counter(Corpus.open(str(corpus)).kept().table(["dataset"])["dataset"].to_pylist())


def test_two_folders_are_two_datasets(villa, tmp_path, corpus):
    for name, frames in (("anna", 60), ("ben", 90)):
        counted_video.write(tmp_path / name / "cup.mp4", frames)
        assert ingest(villa, tmp_path / name, corpus, "--window-s", 1).code == 0
    assert counted(corpus) == {"video/anna": 2, "video/ben": 3}


def test_folders_of_one_name_are_not_taken_for_each_other(villa, tmp_path, corpus):
    for name, frames in (("anna", 60), ("ben", 90)):
        counted_video.write(tmp_path / name / "videos" / "cup.mp4", frames)
        counted_video.write(tmp_path / name / "videos" / f"{name}.mp4", frames)
    assert ingest(villa, tmp_path / "anna" / "videos", corpus).code == 0
    root = tmp_path / "ben" / "videos"
    said = ingest(villa, root, corpus)
    assert f"came in from {tmp_path / 'anna' / 'videos'}, left as they are: cup.mp4; if {root} is another" in said.out
    assert "give it a name of its own with --dataset" in said.out
    assert ingest(villa, root, corpus, "--dataset", "video/ben").code == 0
    assert counted(corpus) == {"video/videos": 3, "video/ben": 2}


def test_a_dataset_has_a_name(villa, tmp_path, corpus):
    counted_video.write(tmp_path / "videos" / "cup.mp4", 30)
    said = ingest(villa, tmp_path / "videos", corpus, "--dataset", "")
    assert (said.code, corpus.exists()) == (2, False)
    assert "the name of its dataset is empty; give --dataset a name" in said.err


def test_other_settings_are_named_with_the_command_that_takes_them(villa, tmp_path, corpus):
    root = tmp_path / "videos"
    for name in ("cup.mp4", "my bowl.mp4"):
        counted_video.write(root / name, 60)
    assert ingest(villa, root, corpus).code == 0
    said = ingest(villa, root, corpus, "--frame-size", 64)
    assert said.code == 0
    assert (
        "read with frame_size=256 frame_hz=10.0, now frame_size=64 frame_hz=10.0, left as they are: cup.mp4, "
        f"my bowl.mp4; to take the new version, `villa corpus drop {corpus} video/videos --yes`, then ingest again"
    ) in said.out
    counted_video.write(root / "my bowl.mp4", 90)
    said = ingest(villa, root, corpus)
    assert "changed since they were committed, left as they are: my bowl.mp4; to take the new version" in said.out
    assert f"`villa corpus drop {corpus} video/videos --part 'my bowl.mp4' --yes`" in said.out


def test_another_fit_of_a_finished_dataset_is_refused(villa, tmp_path, corpus):
    root = tmp_path / "videos"
    counted_video.write(root / "cup.mp4", 60)
    assert ingest(villa, root, corpus, "--frame-size", 64).code == 0
    said = ingest(villa, root, corpus, "--frame-size", 64, "--fit", "pad")
    assert said.code == 2
    assert (
        "has frames of video/videos with fit squash, asked for pad; a dataset keeps one: give --fit squash" in said.err
    )


def test_an_option_of_the_command_that_is_misspelt_is_answered_with_it(villa, tmp_path, corpus):
    counted_video.write(tmp_path / "videos" / "cup.mp4", 30)
    said = ingest(villa, tmp_path / "videos", corpus, "--retry-rejekted")
    assert (said.code, corpus.exists()) == (2, False)
    assert "has no option '--retry-rejekted'; did you mean '--retry-rejected'?" in said.line
    assert "it takes --context-s FLOAT" in ingest(villa, tmp_path / "videos", corpus, "--zzzzzzzz").line


def test_folders_of_one_name_in_a_plan_are_told_apart_by_a_name(villa, tmp_path, corpus):
    for name in ("anna", "ben"):
        counted_video.write(tmp_path / name / "videos" / "cup.mp4", 60)
    plan = tmp_path / "plan.yaml"
    rows = ["datasets:", *(f"- {{source: video/folder, root: {name}/videos}}" for name in ("anna", "ben"))]
    plan.write_text("\n".join(rows))
    said = villa("ingest", "--plan", plan, "--corpus", corpus)
    assert (said.code, corpus.exists()) == (2, False)
    first, second = (tmp_path / name / "videos" for name in ("anna", "ben"))
    assert f"the plan has cup.mp4 of video/videos in {first} and in {second}; name each folder once" in said.line
    plan.write_text("\n".join([*rows[:2], rows[2].replace("}", ", options: {dataset: video/ben}}")]))
    assert villa("ingest", "--plan", plan, "--corpus", corpus, "--workers", 1).code == 0
    assert counted(corpus) == {"video/videos": 1, "video/ben": 1}


def test_a_folder_that_comes_in_again_under_another_name_is_told(villa, tmp_path, corpus):
    root = tmp_path / "videos"
    counted_video.write(root / "cup.mp4", 60)
    assert "already" not in ingest(villa, root, corpus, "--dataset", "video/folder").err
    line = f"video/videos: {root} is in {corpus} as video/folder already, and comes in as a second dataset"
    assert f"{line}; --dataset video/folder goes on with that" in ingest(villa, root, corpus).err
    assert villa("corpus", "drop", corpus, "video/folder", "--yes").code == 0
    counted_video.write(root / "bowl.mp4", 60)
    assert "already" not in ingest(villa, root, corpus).err
    assert counted(corpus) == {"video/videos": 2}
