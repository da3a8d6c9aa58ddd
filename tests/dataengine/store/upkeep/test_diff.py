from pathlib import Path

import lance
import pyarrow as pa
import pytest

from dataengine.errors import CorpusError
from dataengine.progress import ProgressBar
from dataengine.store import Corpus, add_episodes
from dataengine.store.upkeep import compaction
from dataengine.store.upkeep.diff import DiffReport, diff, open_at
from dataengine.windows.mixture import Mixture
from tests.support.npz_source import make_episode

KEEP = pa.schema([pa.field("keep", pa.bool_())])


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Two datasets; two snapshots with some changes between them."""
    corpus = Corpus.create(tmp_path / "corpus")
    add_episodes(corpus, [make_episode(f"a{i}") for i in range(4)], "a")
    add_episodes(corpus, [make_episode(f"b{i}", dataset="other") for i in range(3)], "b")
    corpus.ensure_columns(KEEP)
    keep(corpus, 0, [True, False, None, True])
    corpus.take_snapshot("first")
    return corpus


def keep(corpus: Corpus, fragment_id: int, values: list[bool | None]) -> None:
    rows = corpus.fragment_table(fragment_id, ["episode_id"])
    corpus.update_fragment(fragment_id, pa.table({"_rowid": rows["_rowid"], "keep": pa.array(values, pa.bool_())}))


def compare(corpus: Corpus, before: str = "first", after: str = "now") -> DiffReport:
    return diff(open_at(corpus.uri, before), open_at(corpus.uri, after), (before, after))


def test_a_state_does_not_differ_from_itself_nor_from_its_compacted_self(corpus: Corpus) -> None:
    assert compare(corpus).summary().endswith("now (5)\n  no difference")
    compaction.compact(corpus.uri, 10**9, ProgressBar("compact", 1, "bytes"))
    assert compare(corpus).summary().endswith("no difference")


def test_it_tells_what_became_of_each_dataset(corpus: Corpus) -> None:
    add_episodes(corpus, [make_episode(f"a{i}") for i in (8, 9)], "more")
    table = lance.dataset(f"{corpus.uri}/episodes.lance")
    table.delete("source_record = 'b0'")
    table.update({"num_steps": "4", "split": "'val'"}, where="source_record = 'b1'")
    keep(Corpus.open(corpus.uri), 0, [False, True, None, None])

    report = compare(corpus)
    assert [
        (d.dataset, d.before, d.after, d.added, d.removed, d.changed, d.dropped, d.restored) for d in report.datasets
    ] == [
        ("npz", 4, 6, 2, 0, 0, 1, 1),
        ("other", 3, 2, 0, 1, 1, 0, 0),
    ]
    assert (report.added, report.removed, report.changed, report.dropped, report.restored) == (2, 1, 1, 1, 1)
    name = make_episode("b1", dataset="other").episode_id
    assert report.examples == [f"{name}: num_steps 5 -> 4, split train -> val"]
    assert report.filled == {"keep": (3, 2)}
    assert "npz: 4 episodes, now 6: 2 added" in report.summary()


def test_texts_that_hold_at_other_steps_are_a_change(corpus: Corpus) -> None:
    rows = corpus.fragment_table(corpus.fragment_ids()[1], ["texts"])
    texts = rows["texts"].to_pylist()
    texts[1] = [
        {"start": 0, "end": 2, "phrases": texts[1][0]["phrases"]},
        {"start": 2, "end": 5, "phrases": ["b", "c"]},
    ]
    values = pa.table({"_rowid": rows["_rowid"], "texts": pa.array(texts, rows["texts"].type)})
    corpus.update_fragment(corpus.fragment_ids()[1], values)
    report = compare(corpus)
    name = make_episode("b1", dataset="other").episode_id
    assert report.changed == 1
    assert report.examples == [f"{name}: texts 0-5: do b1 -> 0-2: do b1; 2-5: b | c"]


def test_the_other_way_round_it_tells_the_opposite(corpus: Corpus) -> None:
    add_episodes(corpus, [make_episode("a9")], "more")
    lance.dataset(f"{corpus.uri}/episodes.lance").update({"licence": "NULL"}, where="source_record = 'b1'")
    back = compare(corpus, "now", "first")
    assert (back.added, back.removed, back.changed) == (0, 1, 1)
    assert back.examples[0].endswith("licence None -> unknown")


def test_columns_that_came_or_went_are_named(corpus: Corpus) -> None:
    corpus.ensure_columns(pa.schema([pa.field("quality__x", pa.float32())]))
    lance.dataset(f"{corpus.uri}/episodes.lance").drop_columns(["keep"])
    report = compare(corpus)
    assert (report.columns_added, report.columns_removed) == (["quality__x"], ["keep"])
    assert report.filled == {"keep": (3, 0)}
    assert report.restored == 1


def test_steps_that_curation_trims_otherwise_are_told(corpus: Corpus) -> None:
    corpus.ensure_columns(pa.schema([pa.field("trim_start", pa.int32()), pa.field("trim_end", pa.int32())]))
    rows = corpus.fragment_table(0, ["episode_id"])["_rowid"]
    trims = {"trim_start": pa.array([1, 0, None, 0], pa.int32()), "trim_end": pa.array([0, 2, 0, None], pa.int32())}
    corpus.update_fragment(0, pa.table({"_rowid": rows, **trims}))
    report = compare(corpus)
    assert [(d.dataset, d.trimmed) for d in report.datasets] == [("npz", 2)]
    assert "restored 0, trimmed 2 otherwise" in report.summary()


def test_mixtures_are_compared_setting_by_setting(corpus: Corpus) -> None:
    corpus.take_snapshot("second", Mixture(weights={"npz": 2.0, "other": "frames"}))
    corpus.take_snapshot("third", Mixture(weights={"npz": 3.0, "other": "frames"}, temperature=2, optional="all"))
    assert compare(corpus, "second", "third").mixture == {
        "weights.npz": (2.0, 3.0),
        "optional": ([], "all"),
        "temperature": (1.0, 2.0),
    }
    assert "  mixture weights.npz: 2.0, now 3.0\n" in compare(corpus, "second", "third").summary()
    assert set(compare(corpus, "first", "second").mixture) == {"weights.npz", "weights.other"}
    assert compare(corpus, "second", "now").mixture == {}


def test_versions_have_numbers_too(corpus: Corpus) -> None:
    report = compare(corpus, "2", "3")
    assert (report.added, [d.dataset for d in report.datasets]) == (3, ["other"])


def test_an_empty_state_can_be_compared(corpus: Corpus) -> None:
    assert compare(corpus, "1", "first").added == 7


@pytest.mark.parametrize(("word", "reason"), [("second", "no snapshot 'second' .*known: first"), ("99", "99")])
def test_a_state_that_is_not_there_is_refused(corpus: Corpus, word: str, reason: str) -> None:
    with pytest.raises(CorpusError, match=reason):
        compare(corpus, "first", word)
