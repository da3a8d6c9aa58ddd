"""What `villa ingest` tells a script: its exit code, and why."""

import pytest

from dataengine.store import Corpus
from tests.support import lerobot_writer as lr
from tests.support.npz_source import content, write_parts

SOURCE = "tests.support.npz_source:NpzSource"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 4096\n"


@pytest.fixture
def raw(tmp_path):
    write_parts(tmp_path / "raw", num_parts=2, steps=3)
    return tmp_path / "raw"


def test_a_clone_without_its_files_fails_and_names_what_to_do(villa, tmp_path):
    root = lr.write_v2(tmp_path / "cubes")
    for path in root.glob("data/*/*.parquet"):
        path.write_text(POINTER)
    for _ in range(2):
        said = villa("ingest", "lerobot", root, "--corpus", tmp_path / "corpus", "--workers", 1)
        assert said.code == 1
        assert said.out.startswith(f"nothing came in: {tmp_path / 'corpus'} has no episode of {root}")
        assert "3 x data/chunk-000/episode_000000.parquet: this is a Git LFS pointer" in said.out


def test_some_that_came_in_is_a_success_unless_strict_and_a_finished_ingest_stays_one(villa, raw, tmp_path):
    (raw / "part000.bad").write_text("3")
    argv = ("ingest", SOURCE, raw, "--corpus", tmp_path / "corpus", "--workers", 1)
    said = villa(*argv)
    assert said.code == 0
    assert "3 x bad record" in said.out
    assert villa(*argv).code == 0
    for _ in range(2):
        said = villa(*argv, "--strict")
        assert said.code == 1
        assert said.out.splitlines()[1:] == [
            f"rejected: 1 parts, 0 records; `villa corpus rejects {tmp_path / 'corpus'}` lists them",
            "  3 x bad record (the first: part000/0)",
            "--strict accepts no rejects, found 3 of npz, now or before; "
            "mend what is named above, then the same command reads it again",
        ]


def test_a_finished_corpus_with_bad_records_tells_strict_which(villa, raw, tmp_path):
    (raw / "part000.bad").write_text("1")
    argv = ("ingest", SOURCE, raw, "--corpus", tmp_path / "corpus", "--workers", 1)
    assert villa(*argv).code == 0
    said = villa(*argv, "--strict")
    assert said.code == 1
    assert said.out.splitlines()[1:3] == [
        f"rejected by an earlier run (`villa corpus rejects {tmp_path / 'corpus'}` lists them):",
        "  1 x bad record (part000/0)",
    ]
    assert said.out.splitlines()[3].startswith("--strict accepts no rejects, found 1 of npz")


@pytest.mark.parametrize(
    "folder", ["photos", "photos/a.jpg", "photos/a.jpg/corpus", "raw/corpus", "good/inner", "good@s"]
)
def test_a_dry_run_refuses_what_the_run_refuses_and_writes_nothing(villa, raw, tmp_path, folder):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_text("a holiday")
    argv = ("ingest", SOURCE, raw, "--workers", 1, "--corpus")
    if folder.startswith("good"):
        assert villa(*argv, tmp_path / "good").code == 0
        assert villa("corpus", "snapshot", tmp_path / "good", "s").code == 0
    before = sorted(tmp_path.rglob("*"))
    dry, real = (villa(*argv, tmp_path / folder, *more) for more in (["--dry-run"], []))
    assert (dry.code, real.code) == (2, 2)
    assert dry.line == real.line
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_at_all_is_a_failure_also_to_a_machine(villa, raw, tmp_path):
    for part in ("part000", "part001"):
        (raw / f"{part}.bad").write_text("3")
    said = villa("ingest", SOURCE, raw, "--corpus", tmp_path / "corpus", "--workers", 1, "--json")
    assert said.code == 1
    assert (said.report["ok"], said.report["reasons"]) == (
        False,
        [{"count": 6, "reason": "bad record", "first": "part000/0"}],
    )
    assert villa("ingest", SOURCE, raw, "--corpus", tmp_path / "other", "--dry-run").code == 0


def test_a_lerobot_clone_is_completed_once_its_videos_are_there(villa, tmp_path):
    whole = lr.write_v2(tmp_path / "whole")
    video = whole / f"videos/chunk-000/{lr.TOP}/episode_000001.mp4"
    data = video.read_bytes()
    argv = ("ingest", "lerobot", whole, "--workers", 1, "--corpus")
    assert villa(*argv, tmp_path / "undisturbed").code == 0
    video.write_text(POINTER)
    assert "git lfs pull" in villa(*argv, tmp_path / "corpus").out
    assert villa(*argv, tmp_path / "corpus").out.startswith("nothing to do")
    video.write_bytes(data)
    said = villa(*argv, tmp_path / "corpus", "--strict")
    assert said.code == 0
    assert said.out.startswith("1 episodes came in that had been rejected before, of 1 parts in")
    assert episodes(tmp_path / "corpus") == episodes(tmp_path / "undisturbed")
    assert villa(*argv, tmp_path / "corpus").out.startswith("nothing to do")


def episodes(corpus):
    """All that a corpus holds of its episodes, but for which reading of a part brought them."""
    return [
        {key: value for key, value in row.items() if key not in ("part_id", "source_fingerprint")}
        for row in content(Corpus.open(corpus))[0]
    ]
