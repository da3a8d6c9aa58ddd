from pathlib import Path

import lance
import pyarrow as pa
import pytest

from dataengine.errors import CorpusError
from dataengine.store import Corpus, add_episodes, columns, verify
from tests.support.npz_source import make_episode

LABEL = pa.schema(
    [
        pa.field("latent__tiny", pa.list_(pa.float32()), metadata={"villa:lam_fingerprint": "f1"}),
        pa.field("codes__tiny", pa.list_(pa.int16()), metadata={"villa:lam_fingerprint": "f1"}),
    ]
)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = Corpus.create(tmp_path / "corpus")
    add_episodes(corpus, [make_episode(name) for name in "ab"], "p1")
    add_episodes(corpus, [make_episode(name) for name in "cd"], "p2")
    return corpus


def label(corpus: Corpus, fragment_id: int, value: float) -> None:
    rows = corpus.fragment_table(fragment_id, ["episode_id"])
    columns = [pa.array([[value]] * len(rows), LABEL.types[0]), pa.array([[7]] * len(rows), LABEL.types[1])]
    corpus.update_fragment(fragment_id, pa.table([rows["_rowid"], *columns], names=["_rowid", *LABEL.names]))


def labels(corpus: Corpus) -> list[list[float] | None]:
    corpus.refresh()
    return corpus.table(["latent__tiny"])["latent__tiny"].to_pylist()


def test_a_label_column_starts_empty_and_touches_no_row(corpus: Corpus) -> None:
    before = sorted(Path(corpus.uri, "episodes.lance", "data").rglob("*"))
    corpus.ensure_columns(LABEL)
    assert labels(corpus) == [None] * 4
    assert corpus.schema.field("codes__tiny").metadata == {b"villa:lam_fingerprint": b"f1"}
    assert sorted(Path(corpus.uri, "episodes.lance", "data").rglob("*")) == before


def test_a_fragment_is_labelled_in_row_order(corpus: Corpus) -> None:
    corpus.ensure_columns(LABEL)
    first, second = corpus.fragment_ids()
    assert corpus.fragment_table(second, ["source_record"])["source_record"].to_pylist() == ["c", "d"]
    label(corpus, second, 2.0)
    assert labels(corpus) == [None, None, [2.0], [2.0]]
    label(corpus, first, 1.0)
    assert labels(corpus) == [[1.0], [1.0], [2.0], [2.0]]
    assert verify(corpus, deep=True).ok


def test_declaring_a_column_twice_changes_nothing(corpus: Corpus) -> None:
    corpus.ensure_columns(LABEL)
    version = corpus.version
    corpus.ensure_columns(LABEL)
    assert corpus.version == version


def test_a_column_of_another_model_is_not_taken_over(corpus: Corpus) -> None:
    corpus.ensure_columns(LABEL)
    other = pa.schema([LABEL.field(0).with_metadata({"villa:lam_fingerprint": "f2"})])
    with pytest.raises(CorpusError, match=r"exists as .*fingerprint=f1.*expected .*fingerprint=f2"):
        corpus.ensure_columns(other)


def test_labels_survive_an_ingest_beside_them(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every commit of a label loses one race to an append, the first fragment also to the committer's fence."""
    corpus.ensure_columns(LABEL)
    racing = iter("xyz")
    commit = lance.LanceDataset.commit

    def late(uri: str, operation: object, *rest: object, **more: object) -> lance.LanceDataset:
        if isinstance(operation, lance.LanceOperation.Update) and (name := next(racing, None)):
            monkeypatch.setattr(lance.LanceDataset, "commit", staticmethod(commit))
            add_episodes(Corpus.open(corpus.uri), [make_episode(name)], name)
            monkeypatch.setattr(lance.LanceDataset, "commit", staticmethod(late))
        return commit(uri, operation, *rest, **more)

    monkeypatch.setattr(lance.LanceDataset, "commit", staticmethod(late))
    for fragment_id in corpus.fragment_ids():
        label(corpus, fragment_id, float(fragment_id))
    assert labels(corpus) == [[0.0], [0.0], [1.0], [1.0], None, None, None]
    assert next(racing, None) is None


def test_rows_staged_before_a_column_was_declared_have_none(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataengine.store.commit import add

    stage = add.stage_part

    def stage_then_declare(*argv: object) -> object:
        receipt = stage(*argv)
        Corpus.open(corpus.uri).ensure_columns(LABEL)
        return receipt

    monkeypatch.setattr(add, "stage_part", stage_then_declare)
    add_episodes(corpus, [make_episode("late")], "late")
    assert labels(corpus) == [None] * 5
    assert verify(corpus, deep=True).ok


@pytest.mark.parametrize("kind", [lance.commit.CommitConflictError, OSError])
def test_a_lost_race_is_told_by_its_words(corpus: Corpus, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    lost = iter([kind("Retryable commit conflict for version 7: preempted")])
    commit = lance.LanceDataset.commit

    def lose_once(*argv: object, **more: object) -> lance.LanceDataset:
        for error in lost:
            raise error
        return commit(*argv, **more)

    corpus.ensure_columns(LABEL)
    monkeypatch.setattr(lance.LanceDataset, "commit", staticmethod(lose_once))
    label(corpus, 0, 1.0)
    assert labels(corpus)[:2] == [[1.0], [1.0]]


def test_any_other_error_is_passed_on_at_once(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*argv: object, **more: object) -> None:
        raise OSError("permission denied")

    corpus.ensure_columns(LABEL)
    monkeypatch.setattr(lance.LanceDataset, "commit", staticmethod(refuse))
    monkeypatch.setattr(columns.time, "sleep", lambda s: pytest.fail("it waited"))
    with pytest.raises(OSError, match="permission denied"):
        label(corpus, 0, 1.0)


def test_a_fragment_that_is_gone_is_named(corpus: Corpus) -> None:
    with pytest.raises(CorpusError, match="no fragment 99"):
        corpus.fragment_table(99, ["episode_id"])


def test_frames_are_found_after_rows_were_appended_under_a_labeller(corpus: Corpus) -> None:
    corpus.ensure_columns(LABEL)
    episode = make_episode("e")
    assert len(corpus.episode_ids()) == 4
    add_episodes(Corpus.open(corpus.uri), [episode], "p3")
    label(corpus, 0, 1.0)
    assert corpus.jpegs("primary", [(episode.episode_id, 1)]) == [episode.cameras["primary"].jpegs[1]]
