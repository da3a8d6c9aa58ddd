import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest

from dataengine.errors import CorpusError
from dataengine.progress import ProgressBar
from dataengine.store import Committer, Corpus, add_episodes, columns, tables, verify
from dataengine.store.upkeep import compaction
from tests.support.npz_source import content, make_episode
from tests.support.staged import stage

LABEL = pa.schema([pa.field("latent__tiny", pa.list_(pa.float32())), pa.field("keep", pa.bool_())])
NUM_PARTS = 6


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Six parts of two episodes; some rows have labels; blobs lie within the table's files."""
    corpus = Corpus.create(tmp_path / "corpus")
    for part in range(NUM_PARTS):
        cameras = ("primary", "wrist") if part % 2 else ("primary",)
        add_episodes(
            corpus, [make_episode(f"p{part}/{i}", steps=3, seed=part, cameras=cameras) for i in range(2)], f"{part}"
        )
    corpus.ensure_columns(LABEL)
    for fragment_id in (1, 4):
        label(corpus, fragment_id, float(fragment_id))
    return corpus


def label(corpus: Corpus, fragment_id: int, value: float) -> None:
    rows = corpus.fragment_table(fragment_id, ["episode_id"])
    corpus.update_fragment(fragment_id, labels_of(rows["_rowid"], value))


def labels_of(row_ids: pa.ChunkedArray, value: float) -> pa.Table:
    values = [pa.array([[value, value]] * len(row_ids), LABEL.types[0]), pa.array([value > 1] * len(row_ids))]
    return pa.table([row_ids, *values], names=["_rowid", *LABEL.names])


def compact(corpus: Corpus, target: int = 10**9) -> compaction.Compacted:
    return compaction.compact(corpus.uri, target, ProgressBar("compact", 1, "bytes"))


def num_fragments(corpus: Corpus) -> int:
    corpus.refresh()
    return len(corpus.fragment_ids())


def row_ids(corpus: Corpus) -> dict[str, int]:
    rows = lance.dataset(f"{corpus.uri}/episodes.lance").to_table(["episode_id"], with_row_id=True)
    return dict(zip(rows["episode_id"].to_pylist(), rows["_rowid"].to_pylist(), strict=True))


def test_many_small_fragments_become_one_and_nothing_else_changes(corpus: Corpus) -> None:
    before, ids = content(corpus), row_ids(corpus)
    done = compact(corpus)
    assert (done.groups, done.left) == (1, 0)
    assert num_fragments(corpus) == 1
    assert content(corpus) == before
    assert row_ids(corpus) == ids
    assert verify(corpus, deep=True).ok
    assert compact(corpus).groups == 0


def test_fragments_that_are_large_enough_are_left_alone(corpus: Corpus) -> None:
    sizes = [piece.num_bytes for piece in compaction.pieces(tables.open_table(corpus.uri, "episodes"), corpus.uri)]
    assert sum(sizes) == sum(f.stat().st_size for f in Path(corpus.uri, "episodes.lance", "data").rglob("*.lance"))
    assert compact(corpus, target=2 * min(sizes)).groups == 0
    before = content(corpus)
    compact(corpus, target=3 * max(sizes))
    assert 1 < num_fragments(corpus) < NUM_PARTS
    assert content(corpus) == before


@pytest.mark.parametrize(
    ("sizes", "joined"),
    [
        ([1, 1, 1], [[0, 1, 2]]),
        ([1, 9, 1], []),
        ([1, 1, 9, 1, 1], [[3, 4], [0, 1]]),
        ([4, 4, 4, 4], [[0, 1, 2]]),
        ([4, 4, 4, 4, 4], [[3, 4], [0, 1, 2]]),
        ([5, 1, 1], [[1, 2]]),
        ([], []),
    ],
)
def test_neighbours_are_joined_until_they_are_large(sizes: list[int], joined: list[list[int]]) -> None:
    groups = compaction.groups([compaction.FragmentSize(i, size) for i, size in enumerate(sizes)], target=10)
    assert [[piece.fragment_id for piece in group] for group in groups] == joined


def test_very_many_fragments_are_joined_in_steps(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "GROUP", 2)
    before = content(corpus)
    assert compact(corpus).groups == 3 + 1 + 1
    assert num_fragments(corpus) == 1
    assert content(corpus) == before


def test_blobs_of_every_kind_keep_their_bytes(tmp_path: Path) -> None:
    """Null, empty, inline and packed beside the table, with deleted rows between them; at last the old files go."""
    corpus = Corpus.create(tmp_path / "corpus")
    table = lance.dataset(f"{corpus.uri}/episodes.lance")
    draw = np.random.default_rng(0)
    written: dict[str, bytes | None] = {}
    for part in range(4):
        blobs = [None, b"", draw.bytes(1000), draw.bytes(300_000), draw.bytes(5_000_000)]
        names = [f"{part}/{i}" for i in range(len(blobs))]
        written |= dict(zip(names, blobs, strict=True))
        rows = pa.table(
            [pa.array(names), lance.blob_array(blobs)],
            schema=pa.schema([tables.EPISODES.field("episode_id"), tables.EPISODES.field("frames_primary")]),
        )
        table = lance.write_dataset(rows, table.uri, mode="append")
    table.delete("episode_id IN ('1/4', '2/0')")
    gone = {"1/4", "2/0"}
    assert compact(corpus).groups == 1
    lance.dataset(table.uri).cleanup_old_versions(timedelta(microseconds=1))

    table = lance.dataset(table.uri)
    assert len(table.get_fragments()) == 1
    names = table.to_table(["episode_id"])["episode_id"].to_pylist()
    stored = dict(
        zip(names, (data for _, data in table.read_blobs("frames_primary", indices=range(len(names)))), strict=True)
    )
    assert stored == {name: data for name, data in written.items() if name not in gone}
    assert table.schema.field("frames_primary").metadata == {b"lance-encoding:compression": b"none"}


def commit(corpus: Corpus) -> None:
    Committer(corpus.uri, "run").commit([stage(corpus, "late")])


def label_one(corpus: Corpus) -> None:
    label(Corpus.open(corpus.uri), 2, 2.0)


def add_column(corpus: Corpus) -> None:
    Corpus.open(corpus.uri).ensure_columns(pa.schema([pa.field("quality__x", pa.float32())]))


@pytest.mark.parametrize("change", [commit, label_one, add_column])
def test_who_changes_the_corpus_meanwhile_wins_and_the_group_is_copied_again(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, change: Callable[[Corpus], None]
) -> None:
    """Every change comes between the copy and its commit, once."""
    waiting = [change]
    settle_files = compaction.make_durable

    def interfere(paths: object) -> None:
        settle_files(paths)  # type: ignore[arg-type]
        if waiting:
            waiting.pop()(corpus)

    monkeypatch.setattr(compaction, "make_durable", interfere)
    monkeypatch.setattr(compaction.time, "sleep", lambda _: None)
    assert compact(corpus).left == 0
    assert num_fragments(corpus) == 1
    if change is commit:
        assert len(corpus) == 2 * NUM_PARTS + 2
    if change is label_one:
        assert corpus.table(["keep"], where="keep")["keep"].to_pylist() == [True] * 4
    assert verify(corpus, deep=True).ok
    # What the refused attempt had written is gone.
    named = {
        file.path
        for v in lance.dataset(f"{corpus.uri}/episodes.lance").versions()
        for f in lance.dataset(f"{corpus.uri}/episodes.lance", version=v["version"]).get_fragments()
        for file in f.data_files()
    }
    assert {file.name for file in Path(corpus.uri, "episodes.lance", "data").glob("*.lance")} == named


def test_a_group_that_is_always_changed_is_left_and_said_to_be(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    settle_files = compaction.make_durable

    def interfere(paths: object) -> None:
        settle_files(paths)  # type: ignore[arg-type]
        label_one(corpus)

    monkeypatch.setattr(compaction, "make_durable", interfere)
    monkeypatch.setattr(compaction.time, "sleep", lambda _: None)
    before = content(corpus)
    done = compact(corpus)
    assert (done.groups, done.left) == (0, 1)
    assert num_fragments(corpus) == NUM_PARTS
    assert len(content(corpus)[0]) == len(before[0])


def test_a_committer_that_read_the_ledger_before_a_compaction_is_fenced_out(corpus: Corpus) -> None:
    """Its fence is gone, and another committer was faster: it must not commit the part again."""
    receipt = stage(corpus, "late")
    stale = tables.open_table(corpus.uri, "episodes")
    slow = Committer(corpus.uri, "slow")
    compact(corpus)
    Committer(corpus.uri, "fast").commit([receipt])
    with pytest.raises(OSError, match="Retryable commit conflict"):
        slow._append(stale, [receipt])
    slow.commit([receipt])
    corpus.refresh()
    assert len(corpus) == 2 * NUM_PARTS + 2


def test_labels_find_rows_that_were_compacted_under_the_labeller(corpus: Corpus) -> None:
    rows = corpus.fragment_table(3, ["source_record"])
    compact(corpus)
    columns.update_fragment(corpus.uri, 3, labels_of(rows["_rowid"], 3.0))
    corpus.refresh()
    table = corpus.table(["source_record", "latent__tiny"], where="latent__tiny IS NOT NULL").to_pylist()
    labels = {f"p{part}/{i}": [float(part)] * 2 for part in (1, 3, 4) for i in range(2)}
    assert {row["source_record"]: row["latent__tiny"] for row in table} == labels


def test_labels_of_rows_that_are_gone_are_refused_in_one_line(corpus: Corpus) -> None:
    rows = corpus.fragment_table(3, ["source_record"])
    compact(corpus)
    lance.dataset(f"{corpus.uri}/episodes.lance").delete("source_record = 'p3/0'")
    with pytest.raises(CorpusError, match="1 of 2 rows are gone; run it again"):
        columns.update_fragment(corpus.uri, 3, labels_of(rows["_rowid"], 3.0))


def test_committers_labellers_and_compaction_at_once_lose_nothing(corpus: Corpus) -> None:
    receipts = [stage(corpus, f"late{i}") for i in range(8)]
    errors: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                errors.append(error)

        return threading.Thread(target=run)

    def ingest() -> None:
        for receipt in receipts:
            Committer(corpus.uri, "run").commit([receipt])

    def label_all() -> None:
        mine = Corpus.open(corpus.uri)
        for fragment_id, row_ids in [(i, mine.fragment_table(i, ["keep"])["_rowid"]) for i in mine.fragment_ids()]:
            columns.update_fragment(corpus.uri, fragment_id, labels_of(row_ids, 5.0))

    def compact_often() -> None:
        for _ in range(4):
            compact(corpus)

    threads = [guarded(ingest), guarded(ingest), guarded(label_all), guarded(compact_often)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    corpus.refresh()
    records = corpus.table(["source_record"])["source_record"].to_pylist()
    assert len(records) == len(set(records)) == 2 * NUM_PARTS + 16
    labelled = corpus.table(["source_record"], where="keep")["source_record"].to_pylist()
    assert {f"p{part}/{i}" for part in range(NUM_PARTS) for i in range(2)} <= set(labelled)
    assert verify(corpus, deep=True).ok


def test_the_tables_beside_the_episodes_are_compacted_too(corpus: Corpus) -> None:
    for i in range(5):
        corpus.append_run({"command": f"c{i}"})
    compaction.compact_side_tables(corpus.uri)
    assert len(tables.open_table(corpus.uri, "runs").get_fragments()) == 1
    assert {f"c{i}" for i in range(5)} <= set(corpus.runs()["command"].to_pylist())
