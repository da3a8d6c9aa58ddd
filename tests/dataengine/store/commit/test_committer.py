import threading
from dataclasses import replace
from pathlib import Path

import lance
import pytest

from dataengine.episode import Reject
from dataengine.errors import CorpusError
from dataengine.store import Committer, Corpus, tables
from dataengine.store.commit.receipts import Receipt, Receipts
from dataengine.store.registry import register
from tests.support.staged import make_part, stage


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.create(tmp_path / "corpus")


def records(corpus: Corpus) -> list[str]:
    corpus.refresh()
    return sorted(corpus.table(["source_record"])["source_record"].to_pylist())


def test_staged_parts_are_invisible_until_committed(corpus: Corpus) -> None:
    receipt = stage(corpus, "p")
    assert records(corpus) == []
    assert Committer(corpus.uri, "run").commit([receipt]) == {receipt.part_id}
    assert records(corpus) == ["p/0", "p/1"]
    assert Receipts(corpus.uri).staged({receipt.part_id}) == []


def test_a_receipt_survives_as_json(corpus: Corpus) -> None:
    bad = Reject(part_id=make_part("p").part_id, dataset="npz", source_uri="p", record="p/9", reason="bad")
    receipt = stage(corpus, "p", bad)
    assert Receipt.from_json(receipt.to_json()) == receipt
    assert Receipts(corpus.uri).staged({receipt.part_id}) == [receipt]
    assert receipt.rejects == (bad,)


@pytest.mark.parametrize("damage", ["", "[" * 100_000, "{}", "num_steps", "physical_rows", "\x00"])
def test_a_damaged_receipt_is_as_good_as_none(corpus: Corpus, damage: str) -> None:
    receipt = stage(corpus, "p")
    (path,) = Path(corpus.uri, "_staging").glob("*.json")
    text = path.read_text()
    changes_it = damage.endswith(("steps", "rows"))
    assert not changes_it or damage in text
    path.write_text(text.replace(damage, f"{damage}x") if changes_it else damage)
    with pytest.raises(CorpusError, match="a receipt is damaged"):
        Receipt.from_json(path.read_text())
    assert Receipts(corpus.uri).staged({receipt.part_id}) == []


def test_a_part_is_committed_once_however_often_it_was_staged(corpus: Corpus) -> None:
    twice = [stage(corpus, "p"), stage(corpus, "p")]
    Committer(corpus.uri, "one").commit(twice)
    Committer(corpus.uri, "two").commit(twice)
    Committer(corpus.uri, "two").commit([stage(corpus, "p")])
    assert records(corpus) == ["p/0", "p/1"]


@pytest.mark.parametrize("num_before", [0, 1])
def test_a_stale_committer_is_fenced_out(corpus: Corpus, num_before: int) -> None:
    """Both on an empty table and on one with rows: what the second committer knows is out of date, so it must lose."""
    for i in range(num_before):
        Committer(corpus.uri, "before").commit([stage(corpus, f"before{i}")])
    first, second = Committer(corpus.uri, "first"), Committer(corpus.uri, "second")
    stale = lance.dataset(f"{corpus.uri}/episodes.lance")
    receipts = [stage(corpus, "p")]
    first._append(stale, receipts)
    with pytest.raises(OSError, match="Retryable commit conflict"):
        second._append(stale, receipts)
    second.commit(receipts)
    assert len(records(corpus)) == 2 + 2 * num_before


def test_racing_committers_commit_every_part_once(corpus: Corpus) -> None:
    receipts = [stage(corpus, f"p{i}") for i in range(6)]
    errors: list[BaseException] = []

    def race(name: str, order: list[Receipt]) -> None:
        committer = Committer(corpus.uri, name)
        try:
            for receipt in order:
                committer.commit([receipt])
        except BaseException as error:
            errors.append(error)

    orders = [receipts, receipts[::-1], receipts[3:] + receipts[:3]]
    threads = [threading.Thread(target=race, args=(str(i), order)) for i, order in enumerate(orders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert records(corpus) == sorted(f"p{i}/{j}" for i in range(6) for j in range(2))


def test_an_answer_that_got_lost_is_looked_up(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit went through but its answer did not: asking again must not repeat it."""
    commit = lance.LanceDataset.commit

    def deaf(*argv: object, **more: object) -> None:
        commit(*argv, **more)
        raise OSError("connection reset by peer")

    receipt = stage(corpus, "p")
    monkeypatch.setattr(lance.LanceDataset, "commit", staticmethod(deaf))
    assert Committer(corpus.uri, "run").commit([receipt]) == {receipt.part_id}
    assert records(corpus) == ["p/0", "p/1"]


def test_a_store_that_always_fails_is_reported_in_one_line(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*argv: object, **more: object) -> None:
        raise OSError("access denied, /rustc/src/somewhere.rs:1\nbacktrace")

    receipt = stage(corpus, "p")
    monkeypatch.setattr(lance.LanceDataset, "commit", staticmethod(refuse))
    with pytest.raises(CorpusError, match=r"could not commit: access denied$"):
        Committer(corpus.uri, "run").commit([receipt])
    assert Receipts(corpus.uri).staged({receipt.part_id}) == [receipt]


@pytest.mark.parametrize("change", ["delete", "cut"])
def test_a_receipt_whose_files_are_not_whole_is_not_committed(corpus: Corpus, change: str) -> None:
    whole, broken = stage(corpus, "whole"), stage(corpus, "broken")
    file = Path(corpus.uri, "episodes.lance", "data", broken.files[0][0])
    if change == "delete":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    assert Committer(corpus.uri, "run").commit([whole, broken]) == {whole.part_id}
    assert records(corpus) == ["whole/0", "whole/1"]


def test_a_reject_is_recorded_once(corpus: Corpus) -> None:
    bad = Reject(part_id=make_part("p").part_id, dataset="npz", source_uri="p", record="p/9", reason="bad")
    receipts = [stage(corpus, "p", bad), stage(corpus, "p", bad)]
    Committer(corpus.uri, "one").commit(receipts)
    Committer(corpus.uri, "two").commit(receipts)
    assert corpus.rejects()["record"].to_pylist() == ["p/9"]


def test_a_run_of_many_commits_with_rejects_keeps_their_table_small(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MANY_FRAGMENTS", 4)
    committer = Committer(corpus.uri, "run")
    for i in range(20):
        bad = Reject(part_id=f"{i}", dataset="npz", source_uri="p", record="", reason=f"reason {i}")
        committer.reject_parts([(bad, "f")])
    assert len(tables.open_table(corpus.uri, "rejects").get_fragments()) <= 5
    assert sorted(corpus.rejects()["part_id"].to_pylist(), key=int) == [f"{i}" for i in range(20)]


def test_a_part_given_up_twice_keeps_the_last_reason(corpus: Corpus) -> None:
    part = make_part("p")
    reject = Reject(part_id=part.part_id, dataset="npz", source_uri="p", record="", reason="old")
    committer = Committer(corpus.uri, "run")
    committer.reject_parts([(reject, "f1")])
    committer.reject_parts([(replace(reject, reason="new"), "f2")])
    assert corpus.rejects()["reason"].to_pylist() == ["new"]
    assert corpus.rejects()["source_fingerprint"].to_pylist() == ["f2"]
    committer.forget_rejected([part.part_id])
    assert len(corpus.rejects()) == 0


def test_ids_are_never_given_twice(corpus: Corpus) -> None:
    def claim(names: list[str]) -> None:
        for name in names:
            register(corpus.uri, "embodiments", [{"name": name}])

    orders = [["a", "b", "c"], ["c", "d", "a"], ["e", "b"]]
    threads = [threading.Thread(target=claim, args=(names,)) for names in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(corpus.embodiments()) == ["a", "b", "c", "d", "e"]
    assert sorted(corpus.embodiments().values()) == [1, 2, 3, 4, 5]
    before = corpus.embodiments()
    claim(["f", "a"])
    assert corpus.embodiments() == {**before, "f": 6}
