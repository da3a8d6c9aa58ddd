"""Every part is read and committed once, and what did not come in is told."""

import json
from pathlib import Path

import lance
import numpy as np
import pytest

from dataengine.errors import DataEngineError, SourceError
from dataengine.store import Corpus, verify
from pipelines.ingest import run
from pipelines.ingest.config import IngestConfig
from tests.support.ingests import ingest, reads
from tests.support.npz_source import content, write_parts


def test_every_part_is_read_by_processes_and_committed_once(raw: Path) -> None:
    report = ingest(raw, workers=2)
    assert (report.planned_parts, report.committed_parts, report.episodes, report.steps) == (4, 4, 12, 4 * (5 + 6 + 7))
    assert report.bytes == sum(file.stat().st_size for file in raw.glob("*.npz"))
    assert report.stored_bytes > 0
    assert "4 of 4 parts committed: 12 episodes" in report.summary()
    corpus = Corpus.open(report.corpus)
    assert verify(corpus, deep=True).ok
    assert len(set(corpus.episode_ids())) == 12


@pytest.mark.usefixtures("inline")
def test_a_finished_ingest_run_again_does_nothing_and_says_so(raw: Path) -> None:
    ingest(raw)
    before = Corpus.open(raw.parent / "corpus").version
    report = ingest(raw)
    assert (report.committed_parts, report.skipped_parts, report.episodes) == (0, 4, 0)
    assert report.summary().startswith("nothing to do: 4 of 4 parts are in")
    corpus = Corpus.open(report.corpus)
    assert corpus.version == before
    assert len(corpus.runs()) == 1
    assert len(reads(raw)) == 4


@pytest.mark.usefixtures("inline")
def test_new_parts_are_added_to_old_ones(raw: Path) -> None:
    ingest(raw)
    write_parts(raw, num_parts=6)
    report = ingest(raw)
    assert (report.planned_parts, report.committed_parts, report.skipped_parts) == (6, 2, 4)
    assert reads(raw) == [f"part{i:03d}" for i in range(6)]


@pytest.mark.usefixtures("inline")
def test_a_changed_part_is_reported_and_not_mixed_in(raw: Path) -> None:
    ingest(raw)
    before = content(Corpus.open(raw.parent / "corpus"))
    np.savez(raw / "part001.npz", seeds=np.arange(7), steps=9)
    report = ingest(raw)
    assert report.changed_parts == ["part001"]
    assert (report.committed_parts, report.skipped_parts) == (0, 4)
    assert "changed since they were committed" in report.summary()
    assert content(Corpus.open(report.corpus)) == before


@pytest.mark.usefixtures("inline")
def test_a_bad_record_costs_one_record(raw: Path) -> None:
    (raw / "part002.bad").write_text("2")
    report = ingest(raw)
    assert (report.committed_parts, report.rejected_parts, report.rejected_records) == (4, 0, 2)
    assert report.episodes == 10
    assert report.ok
    assert Corpus.open(report.corpus).rejects()["record"].to_pylist() == ["part002/0", "part002/1"]


@pytest.mark.usefixtures("inline")
def test_an_ingest_of_which_nothing_came_in_fails_and_gives_the_commonest_reasons(raw: Path) -> None:
    for i in range(3):
        (raw / f"part{i:03d}.bad").write_text("3")
    (raw / "part003.raise").touch()
    for _ in range(2):  # the second time all is given up already
        report = ingest(raw)
        assert not report.ok
        assert (report.committed_parts, report.skipped_parts, report.rejected_parts) == (0, 0, 4)
        assert [(why.count, why.reason) for why in report.reasons] == [(9, "bad record"), (1, "the disk sneezed")]
        assert report.summary().startswith("nothing came in: ")
        assert "9 x bad record" in report.summary()
    (raw / "part003.raise").unlink()
    assert ingest(raw, retry_rejected=True).ok  # one part came in
    assert ingest(raw).ok


@pytest.mark.usefixtures("inline")
def test_records_that_rules_leave_out_fail_an_ingest_only_where_nothing_is_left(raw: Path) -> None:
    for i in range(4):
        (raw / f"part{i:03d}.filtered").write_text("3" if i else "2")
    report = ingest(raw)
    assert (report.ok, report.episodes, report.reasons) == (True, 1, [])
    (raw / "part000.filtered").write_text("3")
    report = ingest(raw, corpus=raw.parent / "other")
    assert not report.ok
    assert [(why.count, why.reason) for why in report.reasons] == [(12, "failed")]


@pytest.mark.usefixtures("inline")
def test_serious_notes_of_what_was_committed_are_told_once_each(raw: Path) -> None:
    for i in range(4):
        notes = {"state_doubt": "in ticks", "gripper_open_mm": "80", "cameras_left_out": f"depth {min(i, 1)}"}
        (raw / f"part{i:03d}.notes").write_text(json.dumps(notes))
    report = ingest(raw)
    assert [(note.key, note.episodes, note.of, note.text, note.texts) for note in report.notes] == [
        ("cameras_left_out", 12, 12, "depth 1", 2),
        ("state_doubt", 12, 12, "in ticks", 1),
    ]
    assert "state_doubt (all 12 episodes): in ticks" in report.summary()
    assert ingest(raw).notes == []  # nothing committed: `villa corpus info` tells


@pytest.mark.usefixtures("inline")
def test_strict_fails_on_rejects_also_those_of_an_earlier_run(raw: Path) -> None:
    (raw / "part002.bad").write_text("1")
    assert not ingest(raw, strict=True).ok
    assert not ingest(raw, strict=True).ok
    assert ingest(raw).ok


@pytest.mark.usefixtures("inline")
def test_a_part_without_one_good_record_is_rejected_as_a_whole(raw: Path) -> None:
    (raw / "part002.bad").write_text("3")
    report = ingest(raw)
    assert (report.committed_parts, report.rejected_parts, report.rejected_records) == (3, 1, 3)
    whole = [r for r in Corpus.open(report.corpus).rejects().to_pylist() if not r["record"]]
    assert [r["reason"] for r in whole] == ["found no good record, 3 bad ones; the first: bad record"]


@pytest.mark.usefixtures("inline")
def test_a_part_that_fails_now_and_then_is_read_in_the_end(raw: Path) -> None:
    (raw / "part001.raise").write_text("2")
    report = ingest(raw)
    assert (report.committed_parts, report.rejected_parts) == (4, 0)
    assert reads(raw).count("part001") == 3
    assert len(Corpus.open(report.corpus)) == 12


@pytest.mark.usefixtures("inline")
def test_a_part_that_always_fails_is_given_up_until_asked_for_or_changed(raw: Path) -> None:
    (raw / "part001.raise").write_text("")
    report = ingest(raw)
    assert (report.committed_parts, report.rejected_parts) == (3, 1)
    (reject,) = Corpus.open(report.corpus).rejects().to_pylist()
    assert (reject["record"], reject["reason"], reject["error"]) == ("", "the disk sneezed", "RuntimeError")
    assert reject["attempts"] == reads(raw).count("part001") == 3

    again = ingest(raw)
    assert (again.committed_parts, again.skipped_parts, again.rejected_parts) == (0, 3, 1)
    assert reads(raw).count("part001") == 3

    (raw / "part001.raise").unlink()
    healed = ingest(raw, retry_rejected=True)
    assert (healed.committed_parts, healed.skipped_parts, healed.rejected_parts) == (1, 3, 0)
    corpus = Corpus.open(report.corpus)
    assert len(corpus.rejects()) == 0
    assert len(corpus) == 12


@pytest.mark.usefixtures("inline")
def test_a_part_given_up_is_tried_again_once_its_bytes_changed(raw: Path) -> None:
    (raw / "part001.npz").rename(raw / "good")
    (raw / "part001.npz").write_bytes(b"half a download")
    assert ingest(raw).rejected_parts == 1
    (raw / "good").rename(raw / "part001.npz")
    report = ingest(raw)
    assert (report.committed_parts, report.rejected_parts) == (1, 0)
    assert len(Corpus.open(report.corpus).rejects()) == 0


def test_a_worker_that_dies_or_hangs_costs_its_part_alone(raw: Path) -> None:
    """part000 recovers at the second attempt; the two others never do."""
    (raw / "part000.die").write_text("1")
    (raw / "part001.die").write_text("")
    (raw / "part002.hang").write_text("")
    report = ingest(raw, workers=2, max_attempts=2, stall_s=2.0)
    assert (report.committed_parts, report.rejected_parts) == (2, 2)
    rejects = Corpus.open(report.corpus).rejects().to_pylist()
    assert {r["error"] for r in rejects} == {"WorkerDied"}
    assert {r["attempts"] for r in rejects} == {2}
    assert "died or was silent for 2 s, in each of 2 attempts" in rejects[0]["reason"]
    assert reads(raw).count("part000") == 2


@pytest.mark.slow
def test_a_part_that_took_too_long_is_tried_again_once_it_may_take_longer(raw: Path) -> None:
    (raw / "part001.hang").write_text("2")  # more than that nobody waits for it
    first = ingest(raw, workers=1, stall_s=3.0)
    assert (first.committed_parts, first.rejected_parts) == (3, 1)
    num_read = len(reads(raw))
    again = ingest(raw, workers=1, stall_s=3.0)
    assert (again.rejected_parts, len(reads(raw))) == (1, num_read)
    longer = ingest(raw, workers=1, stall_s=60.0)
    assert (longer.committed_parts, longer.rejected_parts) == (1, 0)
    assert len(Corpus.open(longer.corpus).rejects()) == 0


def test_a_dry_run_lists_parts_and_bytes_and_writes_nothing(raw: Path) -> None:
    report = ingest(raw, dry_run=True)
    assert report.parts == [f"part{i:03d}" for i in range(4)]
    assert report.bytes == sum(file.stat().st_size for file in raw.glob("*.npz"))
    assert not (raw.parent / "corpus").exists()
    assert not (raw / "reads.log").exists()
    assert report.summary().startswith("would read 4 of 4 parts")


@pytest.mark.usefixtures("inline")
def test_each_run_that_wrote_leaves_a_row(raw: Path) -> None:
    report = ingest(raw)
    (row,) = Corpus.open(report.corpus).runs().to_pylist()
    assert (row["command"], row["version_in"], row["version_out"]) == ("ingest", 1, 2)
    assert json.loads(row["config"])["root"] == str(raw)
    assert json.loads(row["counts"])["episodes"] == 12
    run_ids = lance.dataset(f"{report.corpus}/episodes.lance").to_table(["run_id"])["run_id"].to_pylist()
    assert set(run_ids) == {row["run_id"]}


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_that_is_no_dataset_is_said_to_be_none(tmp_path: Path, make: bool) -> None:
    if make:
        (tmp_path / "raw").mkdir()
    with pytest.raises(SourceError, match="raw: found n"):
        ingest(tmp_path / "raw")
    assert not (tmp_path / "corpus").exists()


def test_an_unknown_source_class_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataEngineError, match=r"no source 'tests\.support\.npz_source:Nope'"):
        run(IngestConfig(source="tests.support.npz_source:Nope", root=str(tmp_path), corpus=str(tmp_path / "corpus")))
