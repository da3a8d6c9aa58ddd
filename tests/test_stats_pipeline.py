import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import human_clip, make_corpus, robot_episode

from dataengine import stats
from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from pipelines.stats import StatsConfig, run


def test_statistics_are_those_of_all_kept_steps_by_embodiment(tmp_path):
    parts = {
        "a": [robot_episode("0"), robot_episode("1", num_steps=17)],
        "b": [robot_episode("2", dataset="other"), human_clip("x", dataset="other")],
        "c": [robot_episode("3", embodiment="arm2")],
    }
    uri = str(make_corpus(tmp_path / "corpus", parts).uri)
    report = run(StatsConfig(corpus=uri))
    assert (report.episodes, report.without_robot, report.left_out) == (4, 1, 0)
    assert report.rank_error == 0
    found = stats.by_embodiment(stats.from_table(Corpus.open(uri).stats()))
    assert set(found) == {"arm", "arm2"}
    assert found["arm"].datasets == ("made", "other")
    assert found["arm"].num_episodes == 3
    state = np.concatenate([e.state for e in (*parts["a"], parts["b"][0])]).astype(np.float64)
    assert found["arm"].state.count == len(state)
    np.testing.assert_allclose(found["arm"].state.mean, state.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found["arm"].state.q01, np.quantile(state, 0.01, axis=0), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(found["arm2"].action.max, parts["c"][0].action.max(axis=0))


def test_raw_vectors_have_statistics_by_dataset(tmp_path):
    uri = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")]}).uri
    run(StatsConfig(corpus=uri))
    columns = {g.column: g.accumulator.dim for g in stats.from_table(Corpus.open(uri).stats())}
    assert columns == {"state": 7, "action": 7, "raw_state": 3, "raw_action": 2}


def test_dropped_episodes_do_not_count(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode(str(i)) for i in range(3)]})
    corpus.ensure_columns(pa.schema([("keep", pa.bool_())]))
    rows = corpus.fragment_table(0, ["episode_id"])
    corpus.update_fragment(0, pa.table({"_rowid": rows["_rowid"][:2], "keep": [False, True]}))
    report = run(StatsConfig(corpus=corpus.uri))
    assert (report.episodes, report.left_out) == (2, 1)  # one judged and kept, one not judged yet
    assert report.steps == 60


def test_twice_is_the_same(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")], "b": [robot_episode("1", dataset="other")]})
    run(StatsConfig(corpus=corpus.uri))
    first = corpus.stats()
    run(StatsConfig(corpus=corpus.uri))
    assert corpus.stats().equals(first)


def test_one_vector_with_two_meanings_raises_a_doubt(tmp_path):
    joints = dataclasses.replace(robot_episode("1", dataset="other"), state_encoding="joint_position")
    uri = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")], "b": [joints]}).uri
    (doubt,) = run(StatsConfig(corpus=uri)).doubts
    assert "embodiment 'arm': its state is eef_pose in made but joint_position in other" in doubt


def test_a_corpus_of_human_clips_alone_is_refused(tmp_path):
    uri = make_corpus(tmp_path / "corpus", {"h": [human_clip("x")]}).uri
    with pytest.raises(DataEngineError, match="none of 1 kept episodes"):
        run(StatsConfig(corpus=uri))


def test_the_run_is_noted(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")]})
    run(StatsConfig(corpus=corpus.uri))
    assert corpus.runs()["command"].to_pylist() == ["add", "stats"]
