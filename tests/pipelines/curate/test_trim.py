"""Idle ends: found, left out, and gone for windows and shards while the table keeps them."""

import numpy as np
import pyarrow as pa
import pytest

from dataengine.curation.stages.trim_idle import TrimIdle
from dataengine.errors import DataEngineError
from dataengine.shards.reader import ShardReader
from dataengine.store import Corpus
from dataengine.store.read.reader import TableReader
from dataengine.windows import labels
from dataengine.windows.window import LatentInfo, WindowSpec, cut_window
from pipelines import shard, stats
from pipelines.curate import CurateConfig, run
from tests.support.corpora import human_clip, make_corpus, robot_episode
from tests.support.recordings import recording, replaced
from tests.support.rows import rows_of_episodes


def ends(episode, **thresholds):
    stage = TrimIdle(**thresholds)
    measured_values = stage.measure(rows_of_episodes(episode))
    return stage.trim({name: float(values[0]) for name, values in measured_values.items()})


@pytest.mark.parametrize("body", ["widowx", "ur5", "g1", "panda_joint"])
def test_waiting_is_cut_to_a_margin_whatever_the_body(body):
    waits = recording("waits", body=body, idle_s=3.0)
    head, tail = ends(waits)
    hz = waits.control_hz
    assert abs(head - 2.7 * hz) <= 0.6 * hz
    assert abs(tail - 2.7 * hz) <= 0.6 * hz
    assert ends(recording("waits", body=body)) == (0, 0)


def test_a_short_wait_a_still_robot_and_a_short_remainder_stay():
    waits = recording("waits", body="ur5", idle_s=0.6)
    assert ends(waits, max_idle_s=1.5) == (0, 0)
    still = replaced(waits, "still", state=np.repeat(waits.state[:1], waits.num_steps, axis=0))
    assert ends(still) == (0, 0)
    long = recording("waits", body="ur5", idle_s=4.0)
    assert ends(long, min_steps=1000) == (0, 0)


def test_a_gripper_that_opens_is_no_waiting():
    waits = recording("waits", body="ur5", idle_s=3.0)
    state = waits.state.copy()
    state[10:, 6] -= 0.3
    head, tail = ends(replaced(waits, "opens", state=state))
    assert head == 0
    assert tail > 0


def test_a_velocity_or_no_state_says_nothing_about_waiting():
    waits = recording("waits", body="ur5", idle_s=3.0)
    for other in (replaced(waits, "v", state_encoding="eef_velocity"), replaced(waits, "n", state=None)):
        assert ends(other) == (0, 0)


@pytest.fixture
def trimmed(tmp_path):
    """A corpus whose first episode lost 4 steps at the head and 5 at the tail, and has latent actions."""
    corpus = make_corpus(
        tmp_path / "corpus", {"a": [robot_episode("one"), robot_episode("two")], "b": [human_clip("c")]}
    )
    whole = TableReader(corpus)
    rows = corpus.fragment_table(0, ["source_record"])
    corpus.ensure_columns(pa.schema([("trim_start", pa.int32()), ("trim_end", pa.int32())]))
    cut = [record == "one" for record in rows["source_record"].to_pylist()]
    values = {"trim_start": [4 * c for c in cut], "trim_end": [5 * c for c in cut]}
    table = {name: pa.array(v, pa.int32()) for name, v in values.items()}
    corpus.update_fragment(0, pa.table({"_rowid": rows["_rowid"], **table}))
    return corpus, whole, TableReader(corpus)


def row_of(reader, corpus, record):
    ids = {r["source_record"]: r["episode_id"] for r in corpus.table(["source_record", "episode_id"]).to_pylist()}
    return next(e.row for e in reader.episodes if e.episode_id == ids[record])


def test_a_reader_shows_the_steps_that_stay_and_no_others(trimmed):
    corpus, whole, reader = trimmed
    row = row_of(reader, corpus, "one")
    assert reader.episodes[row].num_steps == 21
    np.testing.assert_array_equal(reader.state(row), whole.state(row)[4:25])
    np.testing.assert_array_equal(reader.action(row), whole.action(row)[4:25])
    assert reader.jpegs("primary", [(row, 0), (row, 20)]) == whole.jpegs("primary", [(row, 4), (row, 24)])
    with pytest.raises(DataEngineError, match="has 21 frames, no frame 21"):
        reader.jpegs("primary", [(row, 21)])
    assert reader.num_bytes(row) == sum(len(j) for j in whole.jpegs("primary", [(row, i) for i in range(4, 25)]))
    other = row_of(reader, corpus, "two")
    assert reader.num_bytes(other) == whole.num_bytes(other)
    np.testing.assert_array_equal(reader.state(other), whole.state(other))
    assert reader.identity.fingerprint != whole.identity.fingerprint


def test_steps_cut_at_the_other_end_are_other_data(trimmed):
    corpus, _, reader = trimmed
    rows = corpus.fragment_table(0, ["trim_start", "trim_end"])
    turned = {"trim_start": rows["trim_end"], "trim_end": rows["trim_start"]}
    corpus.update_fragment(0, pa.table({"_rowid": rows["_rowid"], **turned}))
    other = TableReader(corpus)
    assert [e.num_steps for e in other.episodes] == [e.num_steps for e in reader.episodes]
    assert other.identity.fingerprint != reader.identity.fingerprint


def test_one_who_asks_for_all_episodes_sees_whole_ones(trimmed):
    corpus, whole, _ = trimmed
    everything = TableReader(corpus, kept_only=False)
    assert [e.num_steps for e in everything.episodes] == [e.num_steps for e in whole.episodes]
    assert len(Corpus.open(corpus.uri).episode(corpus.episode_ids()[0]).state) == 30


def test_latent_actions_keep_their_steps_and_lead_to_none_that_is_left_out(trimmed):
    corpus, _, _ = trimmed
    info = LatentInfo(name="m", fingerprint="f", k=1, d=2, interval_s=0.3)
    corpus.ensure_columns(labels.label_fields(info, "primary"))
    for fragment_id in corpus.fragment_ids():
        rows = corpus.fragment_table(fragment_id, ["num_steps"])
        steps = rows["num_steps"].to_pylist()
        columns = {
            "latent__m": pa.array([np.arange(2 * n, dtype=np.float32) for n in steps], pa.list_(pa.float32())),
            "codes__m": pa.array([np.arange(n, dtype=np.int16) for n in steps], pa.list_(pa.int16())),
        }
        corpus.update_fragment(fragment_id, pa.table({"_rowid": rows["_rowid"], **columns}))
    reader = TableReader(corpus)
    latent, codes = reader.latent(row_of(reader, corpus, "one"), "m")
    assert codes[:, 0].tolist() == [*range(4, 22), -1, -1, -1]
    assert latent[0, 0].tolist() == [8.0, 9.0]
    assert not latent[-3:].any()
    _, whole = reader.latent(row_of(reader, corpus, "two"), "m")
    assert whole[:, 0].tolist() == list(range(30))


def test_windows_and_shards_are_those_of_the_steps_that_stay(trimmed, tmp_path):
    corpus, whole, reader = trimmed
    spec = WindowSpec(num_frames=3, interval_s=0.2, horizon=4)
    row = row_of(reader, corpus, "one")
    window = cut_window(reader, spec, row, 0)
    other = cut_window(whole, spec, row, 4)
    assert reader.jpegs("primary", [(row, int(i)) for i in window.frames]) == whole.jpegs(
        "primary", [(row, int(i)) for i in other.frames]
    )
    np.testing.assert_array_equal(window.state, other.state)
    assert spec.num_windows(reader.episodes[row]) == spec.num_windows(whole.episodes[row]) - 9
    last = cut_window(reader, spec, row, 20)
    assert last.frame_mask.tolist() == [True, False, False]
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    shard.run(shard.ShardConfig(corpus=corpus.uri, out=str(tmp_path / "shards")))
    shards = ShardReader(str(tmp_path / "shards"))
    again = next(e.row for e in shards.episodes if e.episode_id == reader.episodes[row].episode_id)
    assert shards.episodes[again].num_steps == 21
    np.testing.assert_array_equal(shards.state(again), reader.state(row))
    assert shards.jpegs("primary", [(again, 20)]) == reader.jpegs("primary", [(row, 20)])


def test_a_recipe_without_trimming_gives_the_ends_back(tmp_path):
    uri = make_corpus(tmp_path / "corpus", {"a": [recording("waits", body="ur5", idle_s=3.0)]}).uri
    assert run(CurateConfig(corpus=uri)).trimmed == 1
    short = TableReader(Corpus.open(uri)).episodes[0].num_steps
    recipe = tmp_path / "whole.yaml"
    recipe.write_text("drop_short: {}\n")
    assert run(CurateConfig(corpus=uri, recipe=str(recipe))).trimmed == 0
    assert TableReader(Corpus.open(uri)).episodes[0].num_steps == 240 > short
