import threading
from datetime import timedelta
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from dataengine.errors import CorpusError
from dataengine.progress import ProgressBar
from dataengine.store import Corpus, add_episodes, snapshots, verify
from dataengine.store.read.reader import TableReader
from dataengine.store.upkeep import cleanup, compaction
from tests.support.npz_source import content, make_episode

KEEP = pa.schema([pa.field("keep", pa.bool_())])


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = Corpus.create(tmp_path / "corpus")
    for part in range(3):
        add_episodes(corpus, [make_episode(f"p{part}/{i}", steps=3, seed=part) for i in range(2)], f"{part}")
    return corpus


def keep(corpus: Corpus, fragment_id: int, kept: bool) -> None:
    corpus.ensure_columns(KEEP)
    rows = corpus.fragment_table(fragment_id, ["episode_id"])
    corpus.update_fragment(fragment_id, pa.table({"_rowid": rows["_rowid"], "keep": pa.array([kept] * len(rows))}))


def change_everything(corpus: Corpus) -> None:
    """Ingest, label, write statistics and runs, compact, and remove every version that may be removed."""
    add_episodes(corpus, [make_episode("later", dataset="another", embodiment="hand")], "later")
    keep(corpus, 0, False)
    corpus.write_stats(pa.table({"mean": [2.0]}))
    corpus.append_run({"command": "later"})
    compaction.compact(corpus.uri, 10**9, ProgressBar("compact", 1, "bytes"))
    compaction.compact_side_tables(corpus.uri)
    for name in ("episodes", "datasets", "embodiments", "runs", "rejects", "stats"):
        table = lance.dataset(f"{corpus.uri}/{name}.lance")
        table.cleanup_old_versions(timedelta(microseconds=1), error_if_tagged_old_versions=False)


def test_a_snapshot_reads_the_same_whatever_comes_after(corpus: Corpus) -> None:
    corpus.write_stats(pa.table({"mean": [1.0]}))
    corpus.append_run({"command": "before"})
    before, ids, runs = content(corpus), corpus.episode_ids(), corpus.runs()
    corpus.take_snapshot("v1")
    change_everything(corpus)

    then = Corpus.open(corpus.uri, snapshot="v1")
    assert content(then) == before
    assert (then.episode_ids(), then.runs()) == (ids, runs)
    assert (then.datasets(), then.embodiments()) == ({"npz": 1}, {"arm": 1})
    stats = then.stats()
    assert stats is not None
    assert stats["mean"].to_pylist() == [1.0]
    assert verify(then, deep=True).ok
    assert len(Corpus.open(corpus.uri)) == len(then) + 1


def test_plain_lance_reads_it_by_its_name(corpus: Corpus) -> None:
    corpus.take_snapshot("v1")
    change_everything(corpus)
    assert lance.dataset(f"{corpus.uri}/episodes.lance", version="v1").count_rows() == 6
    assert (
        TableReader(Corpus.open(corpus.uri, "v1")).identity.fingerprint
        == TableReader(Corpus.open(corpus.uri, snapshot="v1")).identity.fingerprint
    )


def test_statistics_that_came_later_are_not_those_of_the_snapshot(corpus: Corpus) -> None:
    corpus.take_snapshot("v1")
    corpus.write_stats(pa.table({"mean": [1.0]}))
    assert Corpus.open(corpus.uri, snapshot="v1").stats() is None


def test_it_counts_what_curation_kept(corpus: Corpus) -> None:
    everything = corpus.take_snapshot("all")
    keep(corpus, 1, False)
    kept = corpus.take_snapshot("kept")
    assert (everything.filter, everything.episodes, everything.steps, everything.datasets) == ("", 6, 18, {"npz": 6})
    assert (kept.filter, kept.episodes, kept.steps, kept.datasets) == ("keep IS NOT FALSE", 4, 12, {"npz": 4})
    ids = [make_episode(f"p{part}/{i}").episode_id for part in (2, 0) for i in (1, 0)]
    assert kept.content_hash == snapshots.content_hash(ids) != everything.content_hash
    assert kept.episodes == len(TableReader(Corpus.open(corpus.uri, snapshot="kept")).episodes)
    assert [snapshot.name for snapshot in corpus.snapshots()] == ["all", "kept"]


def test_a_name_is_given_once(corpus: Corpus) -> None:
    first = corpus.take_snapshot("v1")
    add_episodes(corpus, [make_episode("later")], "later")
    with pytest.raises(CorpusError, match="there is a snapshot 'v1' already; a snapshot never changes"):
        corpus.take_snapshot("v1")
    assert corpus.snapshots() == [first]


def test_a_name_that_a_tag_has_is_not_taken(corpus: Corpus) -> None:
    table = lance.dataset(f"{corpus.uri}/episodes.lance")
    table.tags.create("mine", 2)
    with pytest.raises(CorpusError, match=r"there is a tag of episodes\.lance 'mine' already"):
        corpus.take_snapshot("mine")
    assert table.tags.list()["mine"]["version"] == 2


@pytest.mark.parametrize("name", ["", "7", "now", "a b", "a/b", "-x", "ä"])
def test_a_name_that_could_be_mistaken_is_refused(corpus: Corpus, name: str) -> None:
    with pytest.raises(CorpusError, match="expected a letter and then"):
        corpus.take_snapshot(name)


def test_of_many_that_claim_a_name_at_once_one_gets_it(corpus: Corpus) -> None:
    outcomes: list[str] = []

    def claim() -> None:
        try:
            outcomes.append(corpus.take_snapshot("v1").name)
        except CorpusError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("v1") == 1
    assert len(corpus.snapshots()) == 1


def test_one_that_died_before_its_tags_is_protected_before_anything_is_removed(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "protect", lambda _: None)
        corpus.take_snapshot("v1")
    before = content(Corpus.open(corpus.uri, snapshot="v1"))
    compaction.compact(corpus.uri, 10**9, ProgressBar("compact", 1, "bytes"))
    monkeypatch.setattr(cleanup, "LEAST_AGE", timedelta(0))
    assert cleanup.clean(corpus.uri, timedelta(microseconds=1)).versions > 0
    assert content(Corpus.open(corpus.uri, snapshot="v1")) == before


def test_a_snapshot_is_not_written_to(corpus: Corpus) -> None:
    corpus.take_snapshot("v1")
    then = Corpus.open(corpus.uri, snapshot="v1")
    for write in (lambda: then.ensure_columns(KEEP), lambda: then.write_stats(pa.table({"a": [1]}))):
        with pytest.raises(CorpusError, match="snapshot 'v1' never changes"):
            write()


def test_an_unknown_one_is_refused_with_those_there_are(corpus: Corpus) -> None:
    with pytest.raises(CorpusError, match=r"no snapshot 'v2' .*known: none"):
        Corpus.open(corpus.uri, snapshot="v2")
    corpus.take_snapshot("v1")
    with pytest.raises(CorpusError, match=r"no snapshot 'v2' .*known: v1"):
        Corpus.open(corpus.uri, snapshot="v2")
