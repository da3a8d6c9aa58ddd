"""What survives a loss of power: files are on the disk before anything that promises them is."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from dataengine.errors import CorpusError
from dataengine.progress import ProgressBar
from dataengine.store import Committer, Corpus, add_episodes
from dataengine.store.commit.receipts import Receipt, Receipts
from dataengine.store.upkeep import compaction
from tests.support.npz_source import make_episode
from tests.support.staged import stage


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.create(tmp_path / "corpus")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was brought to the disk so far, in order, as paths."""
    paths: list[str] = []
    sync = os.fsync

    def look_then_sync(handle: int) -> None:
        paths.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", look_then_sync)
    return paths


def test_staged_files_are_on_the_disk_before_their_receipt_is_written(
    corpus: Corpus, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put, before = Receipts.put, []

    def look_then_put(self: Receipts, receipt: Receipt) -> None:
        before.extend(kept)
        put(self, receipt)

    monkeypatch.setattr(Receipts, "put", look_then_put)
    receipt = stage(corpus, "p")
    data = f"{corpus.uri}/episodes.lance/data"
    assert {f"{data}/{file}" for file, _ in receipt.files} | {data} <= set(before)
    assert f"{corpus.uri}/_staging" in kept


def test_a_version_is_on_the_disk_before_its_receipts_are_dropped(
    corpus: Corpus, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt, before = stage(corpus, "p"), []
    monkeypatch.setattr(Receipts, "drop", lambda *_: before.extend(kept))
    Committer(corpus.uri, "run").commit([receipt])
    newest = min(Path(corpus.uri, "episodes.lance", "_versions").glob("*.manifest"))
    assert {str(newest), str(newest.parent)} <= set(before)


def test_side_tables_and_labels_are_on_the_disk_once_written(corpus: Corpus, kept: list[str]) -> None:
    add_episodes(corpus, [make_episode("a")])
    corpus.append_run({"command": "stats"})
    corpus.write_stats(pa.table({"mean": [1.0]}))
    corpus.ensure_columns(pa.schema([pa.field("quality__x", pa.float32())]))
    rows = corpus.fragment_table(0, ["num_steps"])
    corpus.update_fragment(0, pa.table({"_rowid": rows["_rowid"], "quality__x": pa.array([1.0], pa.float32())}))
    for table in ("episodes", "datasets", "embodiments", "runs", "stats"):
        folder = Path(corpus.uri, f"{table}.lance")
        files = {str(file) for file in folder.glob("data/*.lance")}
        assert files | {str(min(folder.glob("_versions/*.manifest")))} <= set(kept), table


def test_a_compacted_fragment_is_on_the_disk_before_a_version_names_it(
    corpus: Corpus, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        add_episodes(corpus, [make_episode(name)], name)
    kept.clear()
    commit, before = compaction.Compaction.commit, []

    def look_then_commit(*argv: object) -> object:
        before.extend(kept)
        return commit(*argv)

    monkeypatch.setattr(compaction.Compaction, "commit", staticmethod(look_then_commit))
    compaction.compact(corpus.uri, 10**9, ProgressBar("compact", 1, "bytes"))
    corpus.refresh()
    ((file,),) = [fragment.data_files() for fragment in corpus.lance_table.get_fragments()]
    assert f"{corpus.uri}/episodes.lance/data/{file.path}" in before


def test_a_version_that_a_loss_of_power_left_empty_is_named_with_the_way_back(corpus: Corpus) -> None:
    """What was lost was never promised: its receipts are still there."""
    add_episodes(corpus, [make_episode("a")])
    newest = min(Path(corpus.uri, "episodes.lance", "_versions").glob("*.manifest"))
    newest.write_bytes(b"")
    with pytest.raises(CorpusError, match=rf"newest version is an empty file.*move {newest} away"):
        Corpus.open(corpus.uri)
    newest.unlink()
    assert len(Corpus.open(corpus.uri)) == 0
