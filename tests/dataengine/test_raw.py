"""Raw vectors: every number that a publisher ships comes out of the corpus as it went in."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from dataengine import catalog
from dataengine.errors import RecordError
from dataengine.progress import ProgressBar
from dataengine.raw import fields_of, untouched
from dataengine.schema import EPISODES, RAW
from dataengine.store import Corpus, tables, verify
from dataengine.store.commit import new_rows, staging
from dataengine.store.read.noted import tallies
from dataengine.store.upkeep import compaction
from pipelines import stats
from pipelines.export import ExportConfig, run
from tests.support.corpora import add_parts, make_corpus, robot_episode

STEPS = 6
CLOCK = 1_760_000_000_123_456_789
NUMBERS = {
    "float64": np.linspace(0, 1, STEPS) / 3,
    "float32": np.linspace(0, 1, STEPS, dtype=np.float32) / np.float32(3),
    "float16": np.linspace(0, 1, STEPS).astype(np.float16),
    "bool": np.arange(STEPS) % 2 == 0,
    "uint8": np.arange(250, 250 + STEPS).astype(np.uint8),
    "int32": np.arange(STEPS, dtype=np.int32) + 2**30 + 1,
    "int64": np.arange(STEPS) * 33_333_333 + CLOCK,
    "negative": -np.arange(STEPS) - CLOCK,
    "largest": np.arange(STEPS) + 2**53 - STEPS,
    "gaps": np.array([0.5, np.nan, np.inf, -np.inf, 1, 2]),
}


def raw_episode(record, **more):
    """Every kind of number behind one that float32 holds."""
    raw = untouched(np.ones((STEPS, 2), np.float32), *NUMBERS.values())
    return replace(robot_episode(record, num_steps=STEPS), **fields_of("raw_state", raw), **more)


def assert_untouched(episode):
    """Look at each number of `raw_episode`."""
    assert episode.raw_state.shape == (STEPS, 2 + len(NUMBERS))
    assert sorted(episode.raw_state_exact) == [8, 9]
    for i, (name, wanted) in enumerate(NUMBERS.items(), start=2):
        published = episode.raw_state_exact[i] if i in episode.raw_state_exact else episode.raw_state[:, i]
        assert np.array_equal(published, wanted, equal_nan=wanted.dtype.kind == "f"), name
    assert np.array_equal(episode.raw_state[:, 8], NUMBERS["int64"].astype(np.float64))


def test_float32_stays_float32_and_only_numbers_beyond_2_to_the_53_need_more():
    assert untouched(NUMBERS["float32"], NUMBERS["bool"], NUMBERS["uint8"]).values.dtype == np.float32
    assert untouched(NUMBERS["float32"], NUMBERS["int32"]).values.dtype == np.float64
    assert not untouched(NUMBERS["largest"]).exact
    whole = untouched(
        np.stack([NUMBERS["int64"], NUMBERS["largest"]], axis=1), np.zeros((STEPS, 2, 2)), NUMBERS["negative"]
    )
    assert whole.values.shape == (STEPS, 7)
    assert {i: exact.tolist() for i, exact in whole.exact.items()} == {
        0: NUMBERS["int64"].tolist(),
        6: NUMBERS["negative"].tolist(),
    }
    assert whole[2:4].exact[0].tolist() == NUMBERS["int64"][2:4].tolist()
    assert untouched(np.array([np.iinfo(np.int64).min])).exact[0].tolist() == [np.iinfo(np.int64).min]
    assert untouched(np.zeros((0, 3), np.int64)).values.shape == (0, 3)
    with pytest.raises(RecordError, match="expected whole numbers below 2\\^63"):
        untouched(np.array([2**63], np.uint64))
    with pytest.raises(RecordError, match="found <U1, expected numbers"):
        untouched(np.array(["a"]))


def test_every_number_survives_commit_compaction_export_and_reading_back(tmp_path):
    plain = robot_episode("plain", num_steps=STEPS)
    plain = replace(plain, **fields_of("raw_state", untouched(np.ones((STEPS, 2 + len(NUMBERS)), np.float32))))
    corpus = make_corpus(tmp_path / "corpus", {"a": [raw_episode("r0")], "b": [plain]})
    assert verify(corpus, deep=True).ok
    assert_untouched(corpus.episode(raw_episode("r0").episode_id))
    assert corpus.episode(plain.episode_id).raw_state_exact == {}
    compaction.compact(corpus.uri, 10**9, ProgressBar("compact", 1, "bytes"))
    corpus.refresh()
    assert len(corpus.fragment_ids()) == 1
    assert_untouched(corpus.episode(raw_episode("r0").episode_id))
    run(ExportConfig(corpus=corpus.uri, out=str(tmp_path / "out"), codec="h264", workers=1))
    (root,) = (path for path in (tmp_path / "out").iterdir() if path.is_dir())
    source = catalog.source("lerobot")(str(root))
    back = {
        episode.raw_state_exact.keys() != set(): episode for part in source.parts() for episode in source.read(part)
    }
    assert_untouched(back[True])
    assert np.array_equal(back[False].raw_state, plain.raw_state)


def test_gaps_are_told_and_leave_statistics_of_the_rest_alone(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [raw_episode("r0"), robot_episode("r1")]})
    (tally,) = tallies(corpus)["made"].summed()
    assert (
        tally.line() == "raw_state_missing (1 of 2 episodes): values 11 are not finite at some steps; kept as published"
    )
    assert stats.run(stats.StatsConfig(corpus=corpus.uri)).steps_not_finite == 3


def test_a_corpus_from_before_raw_vectors_were_float64_is_read_and_extended_with_a_word(tmp_path, monkeypatch):
    older = [
        f.with_type(pa.list_(pa.float32())) if f.name in RAW else f for f in tables.EPISODES if "_exact" not in f.name
    ]
    old = robot_episode("old", num_steps=STEPS)
    with monkeypatch.context() as patch:
        columns = pa.schema(older, metadata=EPISODES.metadata)
        for module in (new_rows, tables):
            patch.setattr(module, "EPISODES", columns)
        corpus = make_corpus(tmp_path / "corpus", {"a": [old]})
    assert np.array_equal(corpus.episode(old.episode_id).raw_state, old.raw_state)
    assert verify(corpus).ok
    staging._table.cache_clear()  # another run, in another process
    add_parts(Corpus.open_or_create(corpus.uri), {"b": [raw_episode("new"), robot_episode("small")]})
    corpus = Corpus.open(corpus.uri)
    assert verify(corpus).ok
    episode = corpus.episode(raw_episode("new").episode_id)
    assert episode.raw_state.dtype == np.float32
    assert episode.raw_state_exact[8].tolist() == NUMBERS["int64"].tolist()
    notes = {each.key: each for each in tallies(corpus)["made"].summed()}
    assert notes["raw_state_lost"].episodes == 1
    assert "rounded to float32" in notes["raw_state_lost"].text
    assert "into a new corpus" in notes["raw_state_lost"].text
