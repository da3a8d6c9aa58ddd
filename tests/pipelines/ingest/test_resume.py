"""A run that died, ran out of disk or met another is continued to the same rows."""

import errno
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dataengine.errors import DataEngineError
from dataengine.store import Committer, Corpus, verify
from dataengine.store.commit.receipts import Receipt, Receipts
from pipelines.ingest import IngestReport, alone
from tests.support.ingests import ingest, reads
from tests.support.npz_source import content, write_parts


@pytest.mark.usefixtures("inline")
def test_of_two_commands_on_an_object_store_each_counts_what_it_committed(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no lock there: the second begins when the first has read all its parts."""
    monkeypatch.setattr(alone, "is_uri", lambda uri: True)
    second: list[IngestReport] = []
    commit = Committer.commit

    def commit_after_another(self: Committer, receipts: Sequence[Receipt]) -> set[str]:
        if not second:
            second.append(IngestReport(source="npz"))  # its own commit is not disturbed
            second.append(ingest(raw))
        return commit(self, receipts)

    monkeypatch.setattr(Committer, "commit", commit_after_another)
    first = ingest(raw)
    assert (first.committed_parts, first.skipped_parts, first.episodes) == (0, 4, 0)
    assert (second[1].committed_parts, second[1].episodes) == (4, 12)
    assert verify(Corpus.open(first.corpus)).episodes == 12


class Killed(BaseException):
    """The driver dies here."""


def die(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(
    ("owner", "name", "after", "num_read_again"),
    [
        (Committer, "commit", False, 0),  # all is staged, nothing committed
        (Committer, "_commit_rejects", True, 0),  # rejects are in, rows are not
        (Committer, "_append", True, 0),  # rows are in, receipts still lie there
        (Receipts, "put", False, 1),  # the first part is written, its receipt is not
        (Receipts, "put", True, 0),
        (Committer, "reject_parts", True, 0),
    ],
)
def test_a_run_that_died_is_continued_to_the_same_rows(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, after: bool, num_read_again: int
) -> None:
    (raw / "part001.bad").write_text("1")
    (raw / "part002.bad").write_text("3")
    undisturbed = ingest(raw, corpus=tmp_path / "undisturbed")
    (raw / "reads.log").unlink()

    def do_then_die(self: object, *argv: object) -> None:
        original(self, *argv)
        raise Killed

    with monkeypatch.context() as patch:
        original = getattr(owner, name)
        patch.setattr(owner, name, do_then_die if after else die)
        with pytest.raises(Killed):
            ingest(raw)
    report = ingest(raw)
    assert report.planned_parts == report.committed_parts + report.skipped_parts + report.rejected_parts == 4
    assert len(reads(raw)) == 4 + num_read_again
    assert content(Corpus.open(report.corpus)) == content(Corpus.open(undisturbed.corpus))
    assert list(Path(report.corpus, "_staging").glob("*.json")) == []


@pytest.mark.usefixtures("inline")
def test_receipts_of_other_settings_or_other_bytes_are_not_committed(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Committer, "commit", die)
        with pytest.raises(Killed):
            ingest(raw, frame_size=64)
    np.savez(raw / "part003.npz", seeds=np.arange(1), steps=2)
    with monkeypatch.context() as patch:
        patch.setattr(Committer, "commit", die)
        with pytest.raises(Killed):
            ingest(raw)
    np.savez(raw / "part003.npz", seeds=np.arange(1), steps=3)
    report = ingest(raw)
    assert report.resumed_parts == 3
    assert len(reads(raw)) == 4 + 4 + 1
    corpus = Corpus.open(report.corpus)
    assert corpus.table(["num_steps"], where="source_record = 'part003/0'")["num_steps"].to_pylist() == [3]


@pytest.mark.usefixtures("inline")
def test_another_sources_receipts_are_left_alone(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Committer, "commit", die)
        with pytest.raises(Killed):
            ingest(raw)
    write_parts(tmp_path / "other", num_parts=2)
    for file in (tmp_path / "other").glob("*.npz"):
        file.rename(file.with_name(f"other_{file.name}"))
    ingest(tmp_path / "other")
    assert ingest(raw).resumed_parts == 4


@pytest.mark.usefixtures("inline")
def test_a_full_disk_stops_the_run_in_one_line_and_it_resumes(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = iter(range(2))
    put = Receipts.put

    def put_while_there_is_room(self: Receipts, receipt: Receipt) -> None:
        if next(room, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(self, receipt)

    with monkeypatch.context() as patch:
        patch.setattr(Receipts, "put", put_while_there_is_room)
        with pytest.raises(
            DataEngineError, match=r"the disk is full .*free some space; .*same command continues"
        ) as error:
            ingest(raw)
    assert "\n" not in str(error.value)
    report = ingest(raw)
    assert (report.committed_parts, report.resumed_parts, report.rejected_parts) == (4, 2, 0)


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("kilobytes", [8, 200, 400])
def test_a_small_disk_fills_up_and_the_run_goes_on_once_it_has_room(raw: Path, tmp_path: Path, kilobytes: int) -> None:
    """On a real file system of that size: the end comes while tables are made, while parts are written, or later."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    try:
        write_parts(raw, num_parts=12)
        with pytest.raises(DataEngineError, match=r"the disk is full .*free some space") as error:
            ingest(raw, corpus=disk / "corpus")
        assert "\n" not in str(error.value)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        report = ingest(raw, corpus=disk / "corpus")
        assert (report.committed_parts + report.skipped_parts, report.rejected_parts) == (12, 0)
        assert verify(Corpus.open(report.corpus), deep=True).episodes == 36
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # threads of Lance may still close files


@pytest.mark.usefixtures("inline")
def test_a_part_that_vanishes_between_staging_and_commit_fails_the_run_by_name(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Receipts.put

    def put_and_lose(self: Receipts, receipt: Receipt) -> None:
        put(self, receipt)
        if receipt.part_name == "part002":
            Path(self.corpus, "episodes.lance", "data", receipt.files[0][0]).unlink()

    with monkeypatch.context() as patch:
        patch.setattr(Receipts, "put", put_and_lose)
        with pytest.raises(
            DataEngineError, match="1 of 4 parts are neither committed nor rejected: part002; run the same"
        ):
            ingest(raw)
    assert ingest(raw).committed_parts == 1
