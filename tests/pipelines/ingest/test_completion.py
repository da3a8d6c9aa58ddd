"""Records that could not be read at first come in later, each once, whatever happens on the way."""

from pathlib import Path

import pytest

from dataengine.store import Committer, Corpus, verify
from dataengine.store.upkeep import health
from pipelines.ingest import IngestReport, engine, run
from pipelines.ingest.config import IngestConfig
from tests.dataengine.store.clips_source import LONG_POINTER, POINTER, write_clips
from tests.support.npz_source import content, write_parts

CLIPS = "tests.dataengine.store.clips_source:ClipsSource"
NPZ = "tests.support.npz_source:NpzSource"
NUM_CLIPS = 12


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Twelve clips in three parts, of which the second alone is whole."""
    write_clips(tmp_path / "raw", range(NUM_CLIPS))
    lose(tmp_path / "raw", LONG_POINTER)
    return tmp_path / "raw"


def lose(raw: Path, instead: bytes) -> None:
    for seed in (0, 1, 8, 9):
        (raw / f"clip{seed:02d}").write_bytes(instead)


def ingest(raw: Path, source: str = CLIPS, **settings: object) -> IngestReport:
    corpus = settings.pop("corpus", raw.parent / "corpus")
    return run(IngestConfig(source=source, root=str(raw), corpus=str(corpus), workers=1, **settings))


def rows(corpus: str | Path) -> list[dict[str, object]]:
    """All that a corpus holds, but for which reading of a part brought it."""
    episodes, _ = content(Corpus.open(corpus))
    return [{k: v for k, v in row.items() if k not in ("part_id", "source_fingerprint")} for row in episodes]


def num_reads(raw: Path) -> int:
    return len((raw / "reads.log").read_text().split())


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_after_git_lfs_pull_the_same_command_brings_in_what_was_a_pointer(
    raw: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    if engine == "ray":
        request.getfixturevalue("ray_cluster")
    report = ingest(raw, engine=engine)
    assert (report.episodes, report.rejected_records, report.committed_parts) == (8, 4, 3)
    write_clips(raw, range(NUM_CLIPS))
    report = ingest(raw, engine=engine)
    assert (report.episodes, report.completed_parts, report.skipped_parts) == (4, 2, 3)
    assert report.summary().splitlines() == [
        f"4 episodes came in that had been rejected before, of 2 parts in {report.corpus}",
        f"3 of 3 parts are in {report.corpus} already",
    ]
    assert len(Corpus.open(report.corpus).rejects()) == 0
    assert num_reads(raw) == 3 + 2
    assert rows(report.corpus) == rows(ingest(raw, corpus=raw.parent / "undisturbed").corpus)
    assert verify(Corpus.open(report.corpus), deep=True).ok
    before = num_reads(raw)
    report = ingest(raw, engine=engine, strict=True)
    assert report.ok
    assert report.summary() == f"nothing to do: 3 of 3 parts are in {report.corpus} already"
    assert num_reads(raw) == before


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("seeds", [(0, 1, 8, 9), (0, 1, 2, 3, 4, 5, 6, 7), (5,)])
def test_bounds_between_parts_that_move_bring_no_record_twice(raw: Path, seeds: tuple[int, ...]) -> None:
    """Small pointers in place of large files: with their true sizes other clips are together in a part."""
    write_clips(raw, range(NUM_CLIPS))
    for seed in seeds:
        (raw / f"clip{seed:02d}").write_bytes(POINTER)
    ingest(raw)
    write_clips(raw, range(NUM_CLIPS))
    report = ingest(raw)
    assert report.episodes == len(seeds)
    assert report.reasons == []
    corpus = Corpus.open(report.corpus)
    assert rows(corpus.uri) == rows(ingest(raw, corpus=raw.parent / "undisturbed").corpus)
    assert verify(corpus, deep=True).ok
    assert [row["record"] for row in corpus.rejects().to_pylist() if row["record"]] == []
    assert health.info(corpus).rejected_parts == 0
    before = num_reads(raw)
    report = ingest(raw)
    assert report.summary() == f"nothing to do: 3 of 3 parts are in {report.corpus} already"
    assert num_reads(raw) == before


@pytest.mark.usefixtures("inline")
def test_what_is_still_bad_is_told_by_its_new_reason_and_read_once(raw: Path) -> None:
    ingest(raw)
    lose(raw, b"half a download".ljust(950))
    report = ingest(raw)
    assert report.episodes == 0
    assert [(why.count, why.reason) for why in report.reasons] == [(4, "no clip")]
    before = num_reads(raw)
    assert "4 x no clip (the first: clip00)" in ingest(raw).summary()
    assert num_reads(raw) == before
    write_clips(raw, range(1))
    report = ingest(raw)
    assert (report.episodes, report.recovered_episodes) == (1, 1)
    assert [(why.count, why.reason) for why in report.reasons] == [(3, "no clip")]


@pytest.mark.usefixtures("inline")
def test_bad_records_of_unchanged_files_are_tried_again_when_asked(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_parts(raw, num_parts=3)
    (raw / "part001.bad").write_text("2")
    ingest(raw, NPZ)
    (raw / "part001.bad").unlink()
    assert ingest(raw, NPZ).episodes == 0
    report = ingest(raw, NPZ, retry_rejected=True)
    assert (report.completed_parts, report.recovered_episodes, report.skipped_parts) == (1, 2, 3)
    assert report.reasons == []
    assert rows(report.corpus) == rows(ingest(raw, NPZ, corpus=tmp_path / "undisturbed").corpus)
    assert len(Corpus.open(report.corpus).rejects()) == 0


@pytest.mark.usefixtures("inline")
def test_a_part_whose_other_records_changed_too_is_left_as_it_is(raw: Path) -> None:
    ingest(raw)
    before = rows(raw.parent / "corpus")
    write_clips(raw, range(NUM_CLIPS))
    write_clips(raw, range(3, 4), steps=7)
    report = ingest(raw)
    assert "record 'clip03' is in the corpus and reads otherwise now (num_steps)" in report.summary()
    came = {row["source_record"] for row in rows(report.corpus)} - {row["source_record"] for row in before}
    assert came == {"clip08", "clip09"}  # of the other part
    assert all(row in rows(report.corpus) for row in before)
    reads = num_reads(raw)
    ingest(raw)
    assert num_reads(raw) == reads


@pytest.mark.usefixtures("inline")
def test_other_settings_never_complete_a_part(raw: Path) -> None:
    ingest(raw)
    before = num_reads(raw)
    write_clips(raw, range(0, 1))
    for _ in range(2):
        report = ingest(raw, frame_size=64, retry_rejected=True)
        assert report.episodes == 0
        assert report.changed_parts
    assert num_reads(raw) == before


class Killed(BaseException):
    """The driver dies here."""


@pytest.mark.usefixtures("inline")
def test_bounds_that_moved_are_not_forgotten_when_a_run_dies_between_two_parts(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one whose bounds moved is settled, though nothing of it came in; the one that has its records now is not."""
    lose(raw, POINTER)
    (raw / "count").write_text("6")
    ingest(raw)
    lose(raw, b"half a download".ljust(900))
    reject = Committer.reject_records

    def settle_and_die(self: Committer, *argv: object) -> None:
        reject(self, *argv)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(engine, "COMMIT_PARTS", 1)
        patch.setattr(Committer, "reject_records", settle_and_die)
        with pytest.raises(Killed):
            ingest(raw)
    report = ingest(raw)
    assert report.episodes == 0
    assert len(Corpus.open(report.corpus)) == 4


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(
    ("name", "after"),
    [("commit", False), ("_commit_rejects", True), ("_append", True), ("commit", True), ("forget_rejected", True)],
)
def test_a_completion_that_dies_is_done_once_in_the_end(
    raw: Path, monkeypatch: pytest.MonkeyPatch, name: str, after: bool
) -> None:
    ingest(raw)
    write_clips(raw, range(1, NUM_CLIPS))  # the first stays a pointer
    undisturbed = ingest(raw, corpus=raw.parent / "undisturbed")
    original = getattr(Committer, name)

    def die(self: object, *argv: object, **more: object) -> None:
        if after:
            original(self, *argv, **more)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Committer, name, die)
        with pytest.raises(Killed):
            ingest(raw)
    report = ingest(raw)
    assert rows(report.corpus) == rows(undisturbed.corpus)
    corpus = Corpus.open(report.corpus)
    assert corpus.rejects()["record"].to_pylist() == ["clip00"]
    assert verify(corpus, deep=True).ok
    assert list(Path(report.corpus, "_staging").glob("*.json")) == []
