from pathlib import Path

import lance
import pytest

from dataengine.storage import Folder
from dataengine.store import Committer, Corpus, add_episodes
from dataengine.store.commit import ledger
from dataengine.store.commit.ledger import Ledger
from dataengine.store.tables import open_table
from tests.support.npz_source import make_episode


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Three parts of two episodes; the cache is saved after each commit."""
    monkeypatch.setattr(ledger, "SAVE_EVERY", 1)
    corpus = Corpus.create(tmp_path / "corpus")
    for part in "abc":
        add_episodes(corpus, [make_episode(f"{part}/{i}", steps=2) for i in range(2)], part)
    return corpus


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that are read from here on."""
    files: list[str] = []
    ask = ledger._ask
    monkeypatch.setattr(ledger, "_ask", lambda table, those: files.extend(those) or ask(table, those))
    return files


def committed(corpus: Corpus) -> dict[str, str]:
    """The ledger as plain Lance has it."""
    rows = lance.dataset(f"{corpus.uri}/episodes.lance").to_table(["part_id", "source_fingerprint"]).to_pylist()
    return {row["part_id"]: row["source_fingerprint"] for row in rows}


def cache(corpus: Corpus) -> Path:
    return Path(corpus.uri, "_cache", "ledger.arrow")


def test_what_an_earlier_run_learnt_is_not_asked_again(corpus: Corpus, asked: list[str]) -> None:
    assert Committer(corpus.uri, "run").ledger() == committed(corpus)
    assert len(committed(corpus)) == 3
    assert asked == []


def test_only_new_files_are_read(corpus: Corpus, asked: list[str]) -> None:
    mine = Ledger(corpus.uri)
    mine.read(open_table(corpus.uri, "episodes"))
    add_episodes(corpus, [make_episode("late")], "d")
    asked.clear()
    assert mine.read(open_table(corpus.uri, "episodes")) == committed(corpus)
    assert len(asked) == 1


@pytest.mark.parametrize("damage", ["cut", "gone", "flipped", "of another corpus"])
def test_a_cache_that_is_no_use_is_done_without(corpus: Corpus, tmp_path: Path, damage: str) -> None:
    if damage == "cut":
        cache(corpus).write_bytes(cache(corpus).read_bytes()[:-9])
    elif damage == "flipped":  # one letter of a part's id
        data = cache(corpus).read_bytes()
        part_id = next(iter(committed(corpus))).encode()
        assert part_id in data
        cache(corpus).write_bytes(data.replace(part_id, b"0" * len(part_id)))
    elif damage == "gone":
        cache(corpus).unlink()
    else:
        other = Corpus.create(tmp_path / "other")
        add_episodes(other, [make_episode("elsewhere")], "elsewhere")
        cache(other).rename(cache(corpus))
    assert Committer(corpus.uri, "run").ledger() == committed(corpus)


def test_a_cache_that_cannot_be_written_costs_only_time(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    cache(corpus).unlink()
    monkeypatch.setattr(Folder, "write", refuse)
    assert Committer(corpus.uri, "run").ledger() == committed(corpus)


@pytest.mark.parametrize("compacted", [False, True])
def test_rows_that_somebody_deleted_leave_the_ledger(corpus: Corpus, compacted: bool) -> None:
    """Also where other parts of the same file stay."""
    if compacted:
        lance.dataset(f"{corpus.uri}/episodes.lance").optimize.compact_files()
    held = Committer(corpus.uri, "run")
    assert len(held.ledger()) == 3
    lance.dataset(f"{corpus.uri}/episodes.lance").delete("source_record IN ('a/0', 'b/0', 'b/1')")
    assert held.ledger() == Committer(corpus.uri, "new").ledger() == committed(corpus)
    assert len(committed(corpus)) == 2


def test_many_rows_of_one_part_count_once(corpus: Corpus, asked: list[str]) -> None:
    cache(corpus).unlink()
    lance.dataset(f"{corpus.uri}/episodes.lance").optimize.compact_files()
    assert Committer(corpus.uri, "run").ledger() == committed(corpus)
    assert len(asked) == 1
