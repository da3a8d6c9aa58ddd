import dataclasses
import shutil
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest

from dataengine.errors import DataEngineError
from dataengine.progress import ProgressBar
from dataengine.store import Corpus
from dataengine.store.read.reader import TableReader
from dataengine.store.upkeep import compaction, drop
from dataengine.windows import stats, stats_table
from pipelines.stats import StatsConfig, run
from tests.support.corpora import add_parts, human_clip, make_corpus, robot_episode


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
    assert report.summary().endswith("human clips left out; quantiles are exact")
    sketched = report.model_copy(update={"rank_error": 0.00002})
    assert sketched.summary().endswith("quantiles off by 0.002% of the steps at most")
    by_body = stats.by_embodiment(stats_table.from_table(Corpus.open(uri).stats()))
    assert set(by_body) == {"arm", "arm2"}
    assert by_body["arm"].datasets == ("made", "other")
    assert by_body["arm"].num_episodes == 3
    state = np.concatenate([e.state for e in (*parts["a"], parts["b"][0])]).astype(np.float64)
    assert by_body["arm"].state.count == len(state)
    np.testing.assert_allclose(by_body["arm"].state.mean, state.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(by_body["arm"].state.q01, np.quantile(state, 0.01, axis=0), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(by_body["arm2"].action.max, parts["c"][0].action.max(axis=0))


def test_raw_vectors_have_statistics_by_dataset(tmp_path):
    uri = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")]}).uri
    run(StatsConfig(corpus=uri))
    columns = {g.column: g.accumulator.dim for g in stats_table.from_table(Corpus.open(uri).stats())}
    assert columns == {"state": 7, "action": 7, "raw_state": 3, "raw_action": 2}


def test_a_corpus_of_raw_numbers_alone_has_a_table_and_is_told_what_it_lacks(tmp_path):
    bare = {"state": None, "action": None, "raw_action": None, "state_encoding": "none", "action_encoding": "none"}
    uri = make_corpus(tmp_path / "corpus", {"a": [dataclasses.replace(robot_episode("0"), **bare)]}).uri
    report = run(StatsConfig(corpus=uri))
    assert (report.episodes, report.without_robot, [g.column for g in report.groups]) == (1, 0, ["raw_state"])
    assert "arm made 1 30 none none" in [" ".join(line.split()) for line in report.summary().splitlines()]
    assert "embodiment 'arm' in made: has neither state nor action, only raw_state" in report.summary()


def test_dropped_episodes_do_not_count(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode(str(i)) for i in range(3)]})
    corpus.ensure_columns(pa.schema([("keep", pa.bool_())]))
    rows = corpus.fragment_table(0, ["episode_id"])
    corpus.update_fragment(0, pa.table({"_rowid": rows["_rowid"][:2], "keep": [False, True]}))
    report = run(StatsConfig(corpus=corpus.uri))
    assert (report.episodes, report.left_out) == (2, 1)  # one judged and kept, one not judged yet
    assert report.steps == 60


CURATED = pa.schema([("keep", pa.bool_()), ("trim_start", pa.int32()), ("trim_end", pa.int32())])


def judge(corpus, fragment_id, **columns):
    corpus.ensure_columns(CURATED)
    rows = corpus.fragment_table(fragment_id, ["episode_id"])["_rowid"]
    corpus.update_fragment(fragment_id, pa.table({"_rowid": rows, **columns}))


@pytest.fixture
def grown(tmp_path):
    """Three fragments with statistics."""
    parts = {part: [robot_episode(f"{part}{i}") for i in range(3)] for part in "ab"}
    corpus = make_corpus(
        tmp_path / "corpus", parts | {"c": [robot_episode("c", dataset="other"), human_clip("h", dataset="other")]}
    )
    assert run(StatsConfig(corpus=corpus.uri)).fragments_read == 3
    return corpus


def from_scratch(corpus):
    """Statistics by a corpus that remembers nothing; put back what was there."""
    shutil.rmtree(f"{corpus.uri}/_cache/stats")
    run(StatsConfig(corpus=corpus.uri))
    return Corpus.open(corpus.uri).stats()


def test_only_what_is_new_or_judged_anew_is_read_and_nothing_else_is_counted(grown):
    assert run(StatsConfig(corpus=grown.uri)).fragments_read == 0
    add_parts(grown, {"d": [robot_episode("d", dataset="third")]})
    assert run(StatsConfig(corpus=grown.uri)).fragments_read == 1
    judge(grown, 1, keep=[True, False, None])
    report = run(StatsConfig(corpus=grown.uri))
    assert (report.fragments_read, report.episodes, report.left_out) == (1, 7, 1)
    judge(grown, 1, keep=[True, False, True])  # says the same
    assert run(StatsConfig(corpus=grown.uri)).fragments_read == 0
    judge(grown, 1, keep=[True, True, True])
    assert run(StatsConfig(corpus=grown.uri)).episodes == 8
    incremental = Corpus.open(grown.uri).stats()
    assert incremental.equals(from_scratch(grown))


def test_labels_ask_for_nothing(grown):
    grown.ensure_columns(pa.schema([("latent__x", pa.list_(pa.float32()))]))
    rows = grown.fragment_table(0, ["episode_id"])["_rowid"]
    grown.update_fragment(0, pa.table({"_rowid": rows, "latent__x": pa.array([[1.0]] * 3, pa.list_(pa.float32()))}))
    assert run(StatsConfig(corpus=grown.uri)).fragments_read == 0


def test_steps_that_curation_trimmed_do_not_count(grown):
    judge(grown, 0, trim_start=pa.array([4, None, 0], pa.int32()), trim_end=pa.array([3, None, 30], pa.int32()))
    report = run(StatsConfig(corpus=grown.uri))
    assert (report.fragments_read, report.steps_trimmed) == (1, 37)
    reader = TableReader(Corpus.open(grown.uri))
    robots = [e.row for e in reader.episodes if e.kind == "robot"]
    arm = reader.statistics()["arm"]
    for column, stats_of in (("state", arm.state), ("action", arm.action)):
        rows = np.concatenate([getattr(reader, column)(row) for row in robots]).astype(np.float64)
        assert stats_of.count == len(rows) == 7 * 30 - 37
        np.testing.assert_allclose(stats_of.mean, rows.mean(axis=0), atol=1e-9)
        np.testing.assert_allclose(stats_of.q99, np.quantile(rows, 0.99, axis=0), rtol=1e-6, atol=1e-9)
    judge(grown, 0, trim_start=pa.array([0, 0, 0], pa.int32()), trim_end=pa.array([0, 0, 0], pa.int32()))
    assert run(StatsConfig(corpus=grown.uri)).steps == 7 * 30


def test_episodes_that_are_gone_do_not_count(grown):
    grown.lance_table.delete("source_record = 'a1'")
    report = run(StatsConfig(corpus=grown.uri))
    assert (report.episodes, report.fragments_read) == (6, 1)
    grown.lance_table.delete("dataset = 'other'")
    report = run(StatsConfig(corpus=grown.uri))
    assert (report.episodes, report.fragments_read) == (5, 0)
    assert {g.dataset for g in report.groups} == {"made"}


def test_an_older_state_that_was_restored_is_measured_as_it_is(grown):
    version = grown.version
    gone = {}
    for record in ("a1", "a2"):
        lance.dataset(grown.lance_table.uri, version=version).restore()
        lance.dataset(grown.lance_table.uri).delete(f"source_record = '{record}'")
        gone[record] = run(StatsConfig(corpus=grown.uri)).groups[1].mean
    assert gone["a1"] != gone["a2"]


def test_a_compacted_corpus_has_the_same_statistics(grown):
    judge(
        grown,
        0,
        keep=[True, False, True],
        trim_start=pa.array([2, 0, 0], pa.int32()),
        trim_end=pa.array([0, 0, 0], pa.int32()),
    )
    before = run(StatsConfig(corpus=grown.uri))
    compaction.compact(grown.uri, 10**9, ProgressBar("compact", 1, "bytes"))
    after = run(StatsConfig(corpus=grown.uri))
    assert (after.fragments, after.fragments_read) == (1, 1)
    for ours, theirs in zip(after.groups, before.groups, strict=True):
        assert (ours.dataset, ours.column, ours.steps) == (theirs.dataset, theirs.column, theirs.steps)
        np.testing.assert_allclose(ours.mean, theirs.mean, atol=1e-12)
        assert (ours.q01, ours.q99, ours.min, ours.max) == (theirs.q01, theirs.q99, theirs.min, theirs.max)


def test_what_is_remembered_is_forgotten_with_its_fragment_and_read_again_when_it_is_damaged(grown):
    folder = Path(grown.uri, "_cache", "stats")
    assert len(list(folder.iterdir())) == 3
    judge(grown, 0, keep=[False, True, True])
    run(StatsConfig(corpus=grown.uri))
    assert len(list(folder.iterdir())) == 3
    whole = Corpus.open(grown.uri).stats()
    for file, damage in zip(sorted(folder.iterdir()), (b"", b"no arrow", None), strict=True):
        file.write_bytes(file.read_bytes()[:-40] if damage is None else damage)
    assert run(StatsConfig(corpus=grown.uri)).fragments_read == 3
    assert Corpus.open(grown.uri).stats().equals(whole)


def test_each_dataset_has_its_numbers_and_its_grippers(grown):
    report = run(StatsConfig(corpus=grown.uri))
    (group,) = (g for g in report.groups if (g.dataset, g.column) == ("other", "state"))
    state = robot_episode("c", dataset="other").state.astype(np.float64)
    assert (group.episodes, group.steps, group.grippers) == (1, 30, [6])
    np.testing.assert_allclose(group.std, state.std(axis=0), atol=1e-9)
    line = "arm other 1 30 eef_pose 7, gripper 6 eef_delta 7, gripper 6"
    assert line in [" ".join(said.split()) for said in report.summary().splitlines()]
    assert stats.by_embodiment(stats_table.from_table(Corpus.open(grown.uri).stats()))["arm"].state.grippers == (6,)


def test_a_source_says_where_its_grippers_are(tmp_path):
    noted = dataclasses.replace(robot_episode("0"), notes={"state_grippers": "", "action_grippers": "5,6"})
    uri = make_corpus(tmp_path / "corpus", {"a": [noted]}).uri
    run(StatsConfig(corpus=uri))
    (arm,) = stats.by_embodiment(stats_table.from_table(Corpus.open(uri).stats())).values()
    assert (arm.state.grippers, arm.action.grippers) == ((), (5, 6))


def test_angles_that_wrap_and_grippers_that_are_none_raise_doubts(tmp_path):
    episode = robot_episode("0")
    state, action = episode.state.copy(), episode.action.copy()
    state[:, 3] = np.where(np.arange(30) % 2, np.pi - 0.01, 0.01 - np.pi)
    state[:, 6], action[:, 6] = 85 * state[:, 6], 0.08 * action[:, 6]
    uri = make_corpus(tmp_path / "corpus", {"a": [dataclasses.replace(episode, state=state, action=action)]}).uri
    action_doubt, wraps, wide = run(StatsConfig(corpus=uri)).warnings
    assert "embodiment 'arm' in made: state dimension 3 (roll) jumps between -pi and +pi" in wraps
    assert "state dimension 6 (gripper) goes from 0 to 85, expected a gripper 0 closed to 1 open" in wide
    assert "action dimension 6 (gripper) is a gripper that opens to 0.08 of 1 at most; is it in metres?" in action_doubt


def test_two_widths_are_refused_with_all_their_datasets(tmp_path):
    wide = dataclasses.replace(robot_episode("1", dataset="wide"), state=np.zeros((30, 8), np.float32))
    uri = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")], "b": [wide]}).uri
    with pytest.raises(DataEngineError, match="'arm' has states of 7 values in made but 8 values in wide"):
        run(StatsConfig(corpus=uri))


def test_vectors_of_two_widths_in_one_fragment_are_told_apart(tmp_path):
    odd = dataclasses.replace(
        robot_episode("0", embodiment="odd", num_steps=31), state=np.ones((31, 5), np.float32), action=None
    )
    uri = make_corpus(tmp_path / "corpus", {"a": [odd, robot_episode("1")]}).uri
    run(StatsConfig(corpus=uri))
    by_body = stats.by_embodiment(stats_table.from_table(Corpus.open(uri).stats()))
    np.testing.assert_array_equal(by_body["odd"].state.mean, np.ones(5))
    assert by_body["odd"].action.dim == 0
    expected = robot_episode("1").state.astype(np.float64)
    np.testing.assert_allclose(by_body["arm"].state.mean, expected.mean(axis=0), atol=1e-9)


def test_twice_is_the_same(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")], "b": [robot_episode("1", dataset="other")]})
    run(StatsConfig(corpus=corpus.uri))
    first = corpus.stats()
    run(StatsConfig(corpus=corpus.uri))
    assert corpus.stats().equals(first)


def test_one_vector_with_two_meanings_raises_a_doubt(tmp_path):
    joints = dataclasses.replace(robot_episode("1", dataset="other"), state_encoding="joint_position")
    uri = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")], "b": [joints]}).uri
    (doubt,) = run(StatsConfig(corpus=uri)).warnings
    assert "embodiment 'arm': its state is eef_pose in made but joint_position in other" in doubt


def test_a_corpus_of_human_clips_alone_has_nothing_to_measure_and_trains_without(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"h": [human_clip("x")]})
    report = run(StatsConfig(corpus=corpus.uri))
    assert report.summary().startswith(
        "nothing to do: none of 1 kept episodes has states or actions; `villa train lam "
    )
    assert Corpus.open(corpus.uri).stats() is None
    assert TableReader(Corpus.open(corpus.uri)).statistics() == {}


def test_statistics_of_robots_that_are_gone_are_taken_back(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"h": [human_clip("x")], "a": [robot_episode("0", dataset="arms")]})
    run(StatsConfig(corpus=corpus.uri))
    corpus.refresh()
    drop.drop(
        corpus,
        drop.Selection(
            dataset="arms", parts=frozenset({part for (part,) in corpus.distinct(["part_id"], "dataset = 'arms'")})
        ),
    )
    run(StatsConfig(corpus=corpus.uri))
    assert TableReader(Corpus.open(corpus.uri)).statistics() == {}


def test_a_corpus_without_episodes_is_refused(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"h": [human_clip("x", dataset="made")]})
    drop.drop(corpus, drop.Selection(dataset="made"))
    with pytest.raises(DataEngineError, match="no episode is left to measure"):
        run(StatsConfig(corpus=corpus.uri))


def test_the_run_is_noted(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")]})
    run(StatsConfig(corpus=corpus.uri))
    assert corpus.runs()["command"].to_pylist() == ["add", "stats"]


def test_nothing_is_trained_on_statistics_of_other_episodes(grown):
    run(StatsConfig(corpus=grown.uri))
    reopened = Corpus.open(grown.uri)
    assert TableReader(reopened).statistics().keys()
    add_parts(reopened, {"late": [robot_episode("late")]})
    with pytest.raises(DataEngineError, match=r"statistics are of other episodes or steps.*run `villa stats` again"):
        TableReader(Corpus.open(grown.uri)).statistics()
    run(StatsConfig(corpus=grown.uri))
    assert TableReader(Corpus.open(grown.uri)).statistics().keys()


def with_gaps(record, *positions, vector="raw_state", dataset="made"):
    """An episode that lacks values at places (step, dimension)."""
    episode = robot_episode(record, dataset=dataset)
    values = getattr(episode, vector).copy()
    for step, dim in positions:
        values[step, dim] = np.nan if step % 2 else np.inf
    return dataclasses.replace(episode, **{vector: values})


def test_steps_that_lack_a_number_are_told_with_vector_dimension_and_episode(tmp_path):
    torn = [with_gaps("a", (3, 1), (4, 1), (4, 2)), with_gaps("b", (9, 2))]
    parts = {"x": [robot_episode("0"), torn[0]], "y": [torn[1], robot_episode("1")]}
    uri = make_corpus(tmp_path / "corpus", parts).uri
    ids = min(e.episode_id for e in torn)
    for fragments_read in (2, 0):  # measured, and remembered
        report = run(StatsConfig(corpus=uri))
        (line,) = report.warnings
        assert report.fragments_read == fragments_read
        assert line == (
            "raw_state of embodiment 'arm' in made: 3 steps hold NaN or infinity and were left out "
            f"(dimension 1: 2, 2: 2), as in episode {ids}"
        )
        assert line in report.summary()
    (group,) = (g for g in report.groups if g.column == "raw_state")
    assert (group.steps, group.steps_not_finite, group.not_finite, group.not_finite_in) == (117, 3, [0, 2, 2], ids)
    assert all(g.not_finite_in == "" for g in report.groups if g.column != "raw_state")


def test_many_dimensions_with_gaps_are_counted_not_listed(tmp_path):
    episode = robot_episode("wide")
    wide = dataclasses.replace(episode, raw_state=np.full((30, 40), np.nan), raw_action=None)
    (line,) = run(StatsConfig(corpus=make_corpus(tmp_path / "corpus", {"a": [wide]}).uri)).warnings
    assert "(dimension 0: 30, 1: 30, 2: 30, 3: 30, 4: 30, 5: 30 and 34 more)" in line
