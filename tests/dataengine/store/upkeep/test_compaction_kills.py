"""Whatever dies while a corpus is compacted, its rows are the same and the same command can be run again."""

import random
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from dataengine.progress import ProgressBar
from dataengine.store import Corpus, add_episodes, verify
from dataengine.store.upkeep import cleanup, compaction
from tests.support import warm
from tests.support.npz_source import content, make_episode

PROGRAM = """
import sys
from pipelines.corpus.compact import CompactConfig, run
print("ready", flush=True)
while True:
    run(CompactConfig(corpus=sys.argv[1], target_bytes=1_000_000))
"""


class Killed(BaseException):
    """The command dies here."""


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = Corpus.create(tmp_path / "corpus")
    for part in range(6):
        add_episodes(corpus, [make_episode(f"p{part}/{i}", seed=part) for i in range(2)], f"{part}")
    return corpus


@pytest.mark.parametrize(
    ("owner", "name", "after"),
    [
        (compaction, "make_durable", False),  # the copy is written, perhaps not whole
        (compaction, "make_durable", True),  # the copy is whole, no version names it
        (compaction.Compaction, "commit", True),  # the version is there, perhaps not on the disk
        (compaction, "settle", True),
    ],
)
def test_a_compaction_that_died_changes_no_row_and_is_finished_by_the_next(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, after: bool
) -> None:
    before = content(corpus)
    original = getattr(owner, name)

    def die(*argv: object, **more: object) -> None:
        if after:
            original(*argv, **more)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, die)
        with pytest.raises(Killed):
            compaction.compact(corpus.uri, 10**9, ProgressBar("compact", 1, "bytes"))
    assert content(corpus) == before
    compaction.compact(corpus.uri, 10**9, ProgressBar("compact", 1, "bytes"))
    assert content(corpus) == before
    assert len(corpus.fragment_ids()) == 1
    assert verify(corpus, deep=True).ok


@pytest.mark.slow
def test_sigkill_at_any_moment_harms_neither_rows_nor_snapshots(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts come in all the while, so that there is always something to compact."""
    corpus.take_snapshot("before")
    then = content(Corpus.open(corpus.uri, snapshot="before"))
    draw = random.Random(0)
    ids = [f"p{part}/{i}" for part in range(6) for i in range(2)]
    for kill in range(6):
        child = warm.Program(PROGRAM, corpus.uri)
        assert child.stdout.readline() == "ready\n"
        for part in range(draw.randrange(2, 6)):
            ids.append(f"late{kill}/{part}")
            add_episodes(corpus, [make_episode(ids[-1], seed=kill)], ids[-1])
        child.kill()
        assert child.ended().returncode == -signal.SIGKILL
    corpus.refresh()
    assert sorted(corpus.table(["source_record"])["source_record"].to_pylist()) == sorted(ids)
    monkeypatch.setattr(cleanup, "LEAST_AGE", timedelta(0))
    compaction.compact(corpus.uri, 10**9, ProgressBar("compact", 1, "bytes"))
    cleanup.clean(corpus.uri, timedelta(microseconds=1))
    corpus.refresh()
    report = verify(corpus, deep=True)
    assert (report.problems, report.episodes) == ([], len(ids))
    assert content(Corpus.open(corpus.uri, snapshot="before")) == then
