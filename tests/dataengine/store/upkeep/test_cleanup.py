import os
import time
from datetime import timedelta
from pathlib import Path

import lance
import pytest

from dataengine.errors import CorpusError
from dataengine.progress import ProgressBar
from dataengine.store import Committer, Corpus, add_episodes, verify
from dataengine.store.commit.receipts import Receipt, Receipts
from dataengine.store.upkeep import cleanup, compaction
from tests.support.npz_source import content, make_episode
from tests.support.staged import stage

DAY_S = 86_400


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = Corpus.create(tmp_path / "corpus")
    for part in range(4):
        add_episodes(corpus, [make_episode(f"p{part}/{i}", seed=part) for i in range(2)], f"{part}")
    compaction.compact(corpus.uri, 10**9, ProgressBar("compact", 1, "bytes"))
    return corpus


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """An age that every version has."""
    monkeypatch.setattr(cleanup, "LEAST_AGE", timedelta(0))
    return timedelta(microseconds=1)


def grow_old(corpus: Corpus, receipt: Receipt, days: float, *, with_files: bool = True) -> None:
    """Let days pass for what a worker staged."""
    then = time.time() - days * DAY_S
    data = Path(corpus.uri, "episodes.lance", "data")
    files = [data / file for file, _ in receipt.files] if with_files else []
    for file in [*files, *Path(corpus.uri, "_staging").glob(f"{receipt.part_id}*")]:
        os.utime(file, (then, then))


def data_files(corpus: Corpus) -> set[str]:
    return {file.name for file in Path(corpus.uri, "episodes.lance", "data").glob("*.lance")}


def test_old_versions_and_their_files_go_and_the_rows_stay(corpus: Corpus, at_once: timedelta) -> None:
    before = content(corpus)
    size = sum(f.stat().st_size for f in Path(corpus.uri).rglob("*") if f.is_file())
    planned = cleanup.clean(corpus.uri, at_once, dry_run=True)
    assert len(data_files(corpus)) == 5
    done = cleanup.clean(corpus.uri, at_once)
    assert done == planned
    assert done.versions > 4
    assert done.files >= 4
    assert len(data_files(corpus)) == 1
    assert size - sum(f.stat().st_size for f in Path(corpus.uri).rglob("*") if f.is_file()) >= done.num_bytes
    assert content(corpus) == before
    assert verify(corpus, deep=True).ok
    add_episodes(corpus, [make_episode("later")], "later")
    assert len(corpus) == 9


def test_young_versions_stay(corpus: Corpus) -> None:
    versions = lance.dataset(f"{corpus.uri}/episodes.lance").versions()
    assert cleanup.clean(corpus.uri, timedelta(hours=1)) == cleanup.Cleaned()
    assert lance.dataset(f"{corpus.uri}/episodes.lance").versions() == versions


@pytest.mark.parametrize("minutes", [0, 59])
def test_versions_that_a_committer_may_have_read_are_not_removed(corpus: Corpus, minutes: int) -> None:
    with pytest.raises(CorpusError, match="give at least 1h"):
        cleanup.clean(corpus.uri, timedelta(minutes=minutes))


def test_staged_parts_can_be_committed_after_a_cleanup(corpus: Corpus, at_once: timedelta) -> None:
    receipt = stage(corpus, "staged")
    grow_old(corpus, receipt, 5)
    cleanup.clean(corpus.uri, at_once)
    assert Committer(corpus.uri, "run").commit([receipt]) == {receipt.part_id}
    corpus.refresh()
    assert verify(corpus, deep=True).ok


def test_nothing_is_removed_while_parts_wait_that_lance_would_take_for_abandoned(
    corpus: Corpus, at_once: timedelta
) -> None:
    receipt = stage(corpus, "staged")
    grow_old(corpus, receipt, 6.1)
    files = data_files(corpus)
    with pytest.raises(CorpusError, match=r"1 parts were read more than 6 days ago .* run their ingest again"):
        cleanup.clean(corpus.uri, at_once)
    assert data_files(corpus) == files
    Committer(corpus.uri, "run").commit([receipt])
    cleanup.clean(corpus.uri, at_once)
    corpus.refresh()
    assert verify(corpus, deep=True).ok


def test_what_a_killed_worker_left_goes_after_a_week(corpus: Corpus, at_once: timedelta) -> None:
    young, old = stage(corpus, "young"), stage(corpus, "old")
    grow_old(corpus, old, 8)
    Receipts(corpus.uri).drop({young.part_id, old.part_id})
    cleanup.clean(corpus.uri, at_once)
    left = data_files(corpus)
    assert young.files[0][0] in left
    assert old.files[0][0] not in left
