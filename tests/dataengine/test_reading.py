"""One bad record costs one record, whatever raises over it; a reader that breaks down costs what lies behind."""

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dataengine.episode import Episode, Part, Reject
from dataengine.errors import FilteredRecordError, RecordError, SourceError, UnexpectedError
from dataengine.reading import explain, is_certain, one_line, reading
from dataengine.runners.attempts import MAX_STALLS, Assigned, Attempts, Limits
from dataengine.runners.worker import Failure, read_part
from dataengine.sources._parts import episode_or_reject, rejected
from dataengine.store import Committer, Corpus, Staging
from pipelines.ingest import run
from pipelines.ingest.config import IngestConfig
from tests.support.npz_source import NpzSource, make_episode, write_parts


def overflow() -> None:
    int(float("inf"))


def too_deep(depth: int = 0) -> None:
    too_deep(depth + 1)


def no_memory() -> None:
    np.empty(2**62, np.int8)


def missing_file() -> None:
    Path("/nowhere/clip.webm").read_bytes()


def long_name() -> None:
    Path("/tmp", "a" * 70_000).read_bytes()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda: {}["key"], "cannot be read (KeyError: 'key')"),
        (lambda: [].codec_context.thread_count, "cannot be read (AttributeError: 'list' object has no attribute"),
        (overflow, "cannot be read (OverflowError: cannot convert float infinity to integer)"),
        (too_deep, "cannot be read (RecursionError: maximum recursion depth exceeded"),
        (no_memory, "needs more memory than there is"),
        (missing_file, "clip.webm cannot be read (No such file or directory)"),
        (long_name, "cannot be read (File name too long)"),
        (lambda: "\ud800".encode(), "cannot be read (UnicodeEncodeError: 'utf-8' codec can't encode"),
    ],
)
def test_whatever_a_library_raises_over_a_record_is_a_record_error_of_one_line(
    damage: Callable[[], object], reason: str
) -> None:
    with pytest.raises(RecordError) as error, reading():
        damage()
    assert reason in str(error.value)
    assert len(str(error.value)) <= 500
    assert "\n" not in str(error.value)
    assert isinstance(error.value, RecordError)


def test_the_place_in_our_own_code_is_told() -> None:
    with pytest.raises(UnexpectedError, match=r"TypeError: .*, at episode\.py:\d+"), reading():
        make_episode(time_ns=7).num_steps  # noqa: B018


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.EIO, errno.ESTALE])
def test_what_is_the_machines_fault_passes(number: int) -> None:
    with pytest.raises(OSError) as error, reading():
        raise OSError(number, "as the system says")
    assert error.value.errno == number

    with pytest.raises(ValueError, match="wrapped"), reading():
        raise ValueError("wrapped by a library") from OSError(number, "as the system says")


@pytest.mark.parametrize(
    "error", [RecordError("a"), FilteredRecordError("b"), AssertionError("c"), KeyboardInterrupt()]
)
def test_what_has_a_name_already_or_is_our_own_mistake_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, reading():
        raise error
    assert raised.value is error


def test_a_line_for_a_table_is_short_and_can_be_written_everywhere() -> None:
    line = one_line("a\n\tb \ud800" + "c" * 10**6)
    assert line.startswith("a b \\ud800ccc")
    assert len(line.encode()) == 500
    assert explain(OSError("plain")) == "cannot be read (OSError: plain)"


def test_a_message_about_untrusted_words_has_an_end_and_can_be_printed_everywhere() -> None:
    error = SourceError(f"info.json: feature '{'a' * 10**6}\ud800' is none; copy it again")
    assert str(error).startswith("info.json: feature 'aaa")
    assert str(error).endswith("a\\ud800' is none; copy it again")
    assert len(str(error).encode()) < 2_100


class Fragile(NpzSource):
    """Reads what `write_parts` wrote; what it does to record 1 of part001 is in a file `trouble`."""

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        for i in range(3):
            record = f"{part.name}/{i}"
            trouble = self.trouble() if (part.name, i) == ("part001", 1) else ""
            if trouble == "reader":
                {}["key"]
            if trouble == "record":
                yield episode_or_reject(part, record, "", overflow)
                continue
            changes = {
                "text": {"split": 7},
                "notes": {"notes": 7},
                "size": {"control_hz": "ten"},
            }
            yield make_episode(record, seed=i, **changes.get(trouble, {}))

    def trouble(self) -> str:
        path = self.root / "trouble"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write_parts(tmp_path / "raw", num_parts=2)
    return tmp_path / "raw"


def read_one(raw: Path) -> tuple[object, Corpus]:
    """Have a worker read part001."""
    corpus = Corpus.create(str(raw.parent / "corpus"))
    staging = Staging(corpus=corpus.uri, run_id="r", dataset_ids={"npz": 1}, embodiment_ids={"arm": 1, "hand": 2})
    part = Fragile(str(raw)).parts()[1]
    return read_part(Fragile(str(raw)), part, staging, 1, 60.0), corpus


@pytest.mark.parametrize("trouble", ["record", "text", "notes", "size"])
def test_a_record_that_nobody_foresaw_costs_that_record(raw: Path, trouble: str) -> None:
    (raw / "trouble").write_text(trouble)
    receipt, _ = read_one(raw)
    assert receipt.num_episodes == 2
    (reject,) = receipt.rejects
    assert (reject.record, reject.error, reject.attempts) == ("part001/1", "UnexpectedError", 1)
    assert reject.traceback_digest


def test_a_reader_that_breaks_down_for_certain_keeps_what_it_had_read_at_the_first_attempt(raw: Path) -> None:
    (raw / "trouble").write_text("reader")
    receipt, _ = read_one(raw)
    assert receipt.num_episodes == 1
    (reject,) = receipt.rejects
    assert (reject.record, reject.error, reject.attempts) == ("all after part001/0", "KeyError", 1)
    assert reject.reason == "cannot be read (KeyError: 'key')"


@pytest.mark.parametrize(
    ("error", "blame"), [(KeyError("a"), "bad part"), (RuntimeError("b"), "part"), (OSError(), "part")]
)
def test_a_part_of_which_nothing_can_be_read_is_tried_again_only_where_that_may_help(
    raw: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, blame: str
) -> None:
    def fail(self: Fragile, part: Part) -> Iterator[Episode]:
        raise error
        yield

    monkeypatch.setattr(Fragile, "read", fail)
    failure, _ = read_one(raw)
    assert isinstance(failure, Failure)
    assert failure.blame == blame
    assert is_certain(error) == (blame == "bad part")


def test_a_hang_is_tried_once_more_and_a_crash_as_often_as_asked(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("dataengine.runners.attempts.time.monotonic", lambda: now[0])
    part = Fragile(str(raw)).parts()[0]
    for seconds, times in ((700.0, MAX_STALLS), (5.0, 4)):
        queue, count = Attempts([Assigned(0, part)], Limits(max_attempts=4)), 0
        while queue:
            attempt, count = queue.next(), count + 1
            now[0] += seconds
            end = queue.died(attempt)
        assert count == times
        assert f"in each of {times} attempts" in end.reason


def test_rejects_of_untrusted_names_can_be_written(raw: Path) -> None:
    part = Part(dataset="npz", name="p\ud800", uri="", num_bytes=0, fingerprint="")
    reject = rejected(part, "r" * 70_000 + "\udfff", RecordError("id '\ud800'\nis no name"))
    assert reject.reason == "id '\\ud800' is no name"
    assert len(reject.record) < 300
    assert reject.record.encode()
    other = rejected(part, "r" * 70_000 + "\udffe", RecordError("a"))
    assert other.record != reject.record
    assert len(part.part_id) == 16
    Corpus.create(str(raw.parent / "corpus"))
    Committer(str(raw.parent / "corpus"), "r").reject_parts([(reject, "")])
    assert Corpus.open(str(raw.parent / "corpus")).rejects()["record"].to_pylist() == [reject.record]


def test_names_of_clips_that_no_file_can_have_cost_one_clip_each(tmp_path: Path) -> None:
    root = tmp_path / "ssv2"
    (root / "20bn-something-something-v2").mkdir(parents=True)
    entries = [{"id": name, "label": "Lifting"} for name in ("1" * 70_000, "a\ud800", "x\0y", "2")]
    (root / "train.json").write_text(json.dumps([*entries, {"id": "3", "label": "bad \ud800"}]))
    report = run(IngestConfig(source="something_something", root=str(root), corpus=str(tmp_path / "c"), workers=1))
    assert (report.planned_parts, report.episodes, report.rejected_records) == (1, 0, 5)
    reasons = sorted(r["reason"] for r in Corpus.open(report.corpus).rejects().to_pylist() if r["record"])
    assert all(len(reason) < 200 for reason in reasons)
    assert sum("is no plain name of a video" in reason for reason in reasons) == 3
    assert sum("webm" in reason and "missing" in reason for reason in reasons) == 2


def test_what_ffmpeg_calls_an_error_of_input_and_output_is_the_fault_of_the_file() -> None:
    import av

    with pytest.raises(UnexpectedError, match=r"clip\.mp4 cannot be read \(Input/output error\)"), reading():
        av.error.err_check(-errno.EIO, "clip.mp4")
