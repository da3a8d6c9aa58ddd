import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest

from dataengine.errors import CorpusError
from dataengine.store import Corpus, add_episodes, tables, verify
from tests.support.npz_source import make_episode


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.create(tmp_path / "corpus")


def test_what_goes_in_comes_out(corpus: Corpus) -> None:
    given = make_episode("a", steps=4, cameras=("primary", "wrist"), notes={"gripper": "flipped"})
    add_episodes(corpus, [given, make_episode("b", steps=6, seed=1)])

    read = corpus.episode(given.episode_id)
    for name in ("state", "action", "raw_state", "raw_action"):
        assert np.array_equal(getattr(read, name), getattr(given, name))
    assert read.time_ns.tolist() == given.time_ns.tolist()
    assert read.instruction == ["do a"]
    assert (read.control_hz, read.num_steps, read.kind) == (10.0, 4, "robot")
    assert read.cameras == ("primary", "wrist")
    assert read.jpegs("wrist") == list(given.cameras["wrist"].jpegs)
    assert read.frames("primary", [2, 0]).shape == (2, 32, 48, 3)
    assert read.column("notes") == '{"gripper": "flipped"}'


def test_a_clip_without_robot_has_no_vectors(corpus: Corpus) -> None:
    none = dict.fromkeys(("state", "action", "raw_state", "raw_action"))
    add_episodes(corpus, [make_episode(kind="human", **none)])
    read = corpus.episode(corpus.episode_ids()[0])
    assert read.state is None
    assert read.raw_action is None


def test_plain_lance_and_pyarrow_read_every_value(corpus: Corpus) -> None:
    episodes = [make_episode(name, steps=3 + i, seed=i) for i, name in enumerate("abc")]
    add_episodes(corpus, episodes)

    table = lance.dataset(f"{corpus.uri}/episodes.lance")
    rows = table.to_table(["episode_id", "state", "state_dim", "time_ns", "offsets_primary"]).to_pylist()
    blobs = [data for _, data in table.read_blobs("frames_primary", indices=[0, 1, 2])]
    assert len(rows) == table.count_rows() == 3
    for row, blob, episode in zip(rows, blobs, episodes, strict=True):
        assert row["episode_id"] == episode.episode_id
        assert episode.state is not None
        assert np.array_equal(np.float32(row["state"]).reshape(-1, row["state_dim"]), episode.state)
        cut = [blob[a:b] for a, b in zip(row["offsets_primary"], row["offsets_primary"][1:], strict=False)]
        assert cut == list(episode.cameras["primary"].jpegs)


def test_frames_of_many_episodes_come_in_the_order_asked(corpus: Corpus) -> None:
    episodes = [make_episode(name, seed=i) for i, name in enumerate("abcd")]
    add_episodes(corpus, episodes)
    wanted = [(3, 4), (0, 0), (3, 1), (1, 2), (0, 0)]
    jpegs = corpus.jpegs("primary", [(episodes[i].episode_id, frame) for i, frame in wanted])
    assert jpegs == [episodes[i].cameras["primary"].jpegs[frame] for i, frame in wanted]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda c, i: c.episode("nobody"), "no episode 'nobody'"),
        (lambda c, i: c.jpegs("wrist", [(i, 0)]), "has no camera wrist"),
        (lambda c, i: c.jpegs("nose", [(i, 0)]), "no camera slot 'nose'"),
        (lambda c, i: c.jpegs("primary", [(i, 5)]), "5 frames, no frame 5"),
        (lambda c, i: c.table(["colour"]), "no column 'colour'"),
        (lambda c, i: c.table(["frames_primary"]), "holds frames"),
    ],
)
def test_a_question_without_an_answer_says_so_in_one_line(corpus: Corpus, ask: object, message: str) -> None:
    add_episodes(corpus, [make_episode()])
    with pytest.raises(CorpusError, match=message) as error:
        ask(corpus, corpus.episode_ids()[0])  # type: ignore[operator]
    assert "\n" not in str(error.value)


def test_a_table_holds_no_frames_and_takes_a_filter(corpus: Corpus) -> None:
    add_episodes(corpus, [make_episode("a", steps=3), make_episode("b", steps=9)])
    assert not [name for name in corpus.table().schema.names if name.startswith("frames_")]
    assert corpus.table(["num_steps"], where="num_steps > 5").to_pydict() == {"num_steps": [9]}


def test_there_is_no_corpus_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"found no episodes\.lance, expected a corpus"):
        Corpus.open(tmp_path)


def test_a_corpus_is_created_once(corpus: Corpus) -> None:
    with pytest.raises(CorpusError, match="there is a corpus already"):
        Corpus.create(corpus.uri)


def test_a_corpus_that_many_create_at_once_is_one(tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    with ThreadPoolExecutor(6) as pool:
        opened = list(pool.map(lambda _: Corpus.open_or_create(path), range(6)))
    assert {corpus.version for corpus in opened} == {1}
    add_episodes(opened[0], [make_episode("a")])
    assert len(Corpus.open_or_create(path)) == 1


def test_creation_that_was_cut_short_is_finished(corpus: Corpus) -> None:
    """Episodes are made last, so without them there is no corpus yet."""
    shutil.rmtree(f"{corpus.uri}/episodes.lance")
    shutil.rmtree(f"{corpus.uri}/runs.lance")
    assert not Corpus.exists(corpus.uri)
    assert verify(Corpus.open_or_create(corpus.uri)).ok


def test_a_place_below_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="file: it lies at or below a file"):
        Corpus.open_or_create(tmp_path / "file")


def test_a_newer_schema_is_refused_in_one_line(corpus: Corpus) -> None:
    lance.dataset(f"{corpus.uri}/episodes.lance").update_schema_metadata({"villa:schema_version": "99"})
    with pytest.raises(CorpusError, match=r"schema version 99, this villa reads up to 1; upgrade villa-engine$"):
        Corpus.open(corpus.uri)


def test_statistics_are_replaced_and_runs_are_kept(corpus: Corpus) -> None:
    assert corpus.stats() is None
    for mean in (1.0, 2.0):
        corpus.write_stats(pa.table({"mean": [mean]}))
        corpus.append_run({"command": "stats", "seconds": 0.5, "num_episodes": 3})
    stats = corpus.stats()
    assert stats is not None
    assert stats["mean"].to_pylist() == [2.0]
    assert corpus.runs()["counts"].to_pylist() == ['{"num_episodes": 3}'] * 2


def test_a_slow_creator_does_not_overwrite_what_a_faster_one_has_filled(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_episodes(corpus, [make_episode("a")])
    monkeypatch.setattr(tables, "exists", lambda *_: False)
    tables.create_tables(corpus.uri)
    monkeypatch.undo()
    assert len(Corpus.open(corpus.uri)) == 1
    assert corpus.embodiments() == {"arm": 1}
