"""A text holds for some steps: what is said of a step is the same wherever the step is read from."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataengine import texts
from dataengine.episode import Text
from dataengine.errors import RecordError
from dataengine.schema import EPISODES, TEXTS
from dataengine.shards.manifest import MANIFEST
from dataengine.shards.plan import plan
from dataengine.shards.reader import ShardReader
from dataengine.shards.writer import write_shards
from dataengine.store import Corpus, tables, verify
from dataengine.store.commit import new_rows, staging
from dataengine.store.commit.checks import check_episode
from dataengine.store.read.reader import TableReader
from dataengine.windows.mixture import Mixture
from dataengine.windows.said import read_texts
from dataengine.windows.window import WindowSpec, cut_window
from pipelines import stats
from pipelines.evaluation import plan as plans
from pipelines.evaluation.demonstrations import demonstrations
from tests.support.corpora import add_parts, human_clip, make_corpus, robot_episode
from tests.support.readers import MadeReader, make_episode

STEPS = 24
"""Of an episode in which something else is said every three steps."""


def phrases_of(first, end):
    """What is said of steps: something else for every three, so that the number of a text is not that of a step."""
    return [f"do step {i - i % 3}" for i in range(first, end)]


def step_by_step(record="steps", num_steps=STEPS):
    episode = robot_episode(record, num_steps=num_steps)
    return replace(episode, texts=texts.spans([text] for text in phrases_of(0, num_steps)))


def said(reader, row=0):
    """What windows at every start carry."""
    return [cut_window(reader, WindowSpec(), row, i).instruction for i in range(reader.episodes[row].num_steps)]


@pytest.fixture
def corpus(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [step_by_step()]})
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    corpus.refresh()
    return corpus


def trim(corpus, head, tail):
    corpus.ensure_columns(pa.schema([("trim_start", pa.int32()), ("trim_end", pa.int32())]))
    for fragment in corpus.fragment_ids():
        rows = corpus.fragment_table(fragment, ["episode_id"])
        ends = {name: pa.array([n] * len(rows), pa.int32()) for name, n in (("trim_start", head), ("trim_end", tail))}
        corpus.update_fragment(fragment, pa.table({"_rowid": rows["_rowid"], **ends}))


def test_texts_take_turns_where_they_overlap_and_so_do_their_paraphrases():
    there = [Text(0, 6, ("clear the table", "tidy up")), Text(2, 4, ("take the cup",))]
    assert [texts.said_at(there, i) for i in range(7)] == [
        *("clear the table", "tidy up"),  # alone: paraphrases take turns
        *("tidy up", "take the cup"),  # two texts hold: they take turns first
        *("clear the table", "tidy up"),
        "",
    ]


@pytest.mark.parametrize("seed", range(5))
def test_steps_at_which_nothing_is_said_are_counted(seed):
    draw = np.random.default_rng(seed)
    spans = [sorted(draw.integers(0, 20, 2)) for _ in range(draw.integers(0, 4))]
    there = [Text(int(a), int(b) + 1, ("x",)) for a, b in spans]
    assert texts.num_silent(there, 20) == sum(not texts.said_at(there, i) for i in range(20))


def test_neighbours_with_equal_words_are_one_text_and_silence_is_none():
    assert texts.spans([["a"], ["a ", "a"], ["", " "], ["b", "c"], [], ["b", "c"]]) == (
        Text(0, 2, ("a",)),
        Text(3, 4, ("b", "c")),
        Text(5, 6, ("b", "c")),
    )


def test_what_another_column_says_too_is_left_out_also_where_texts_are_many():
    many = tuple(Text(k, k + 1, (f"t{k % 2}",)) for k in range(20_000))
    whole = (Text(0, 20_000, ("t0",)),)
    assert texts.without_repetition([many, many]) == many
    assert texts.without_repetition([many, many, whole]) == (*many[1::2], *whole)


def test_cutting_keeps_what_is_said_at_every_step():
    there = (Text(0, 9, ("all",)), Text(2, 5, ("b",)), Text(5, 8, ("c",)))
    cut = texts.cut(there, 4, 7)
    assert cut == (Text(0, 3, ("all",)), Text(0, 1, ("b",)), Text(1, 3, ("c",)))
    for i in range(3):
        assert [t.phrases for t in texts.at(cut, i)] == [t.phrases for t in texts.at(there, 4 + i)]


def test_windows_of_a_corpus_say_what_holds_at_their_start(corpus):
    assert said(TableReader(corpus)) == phrases_of(0, STEPS)
    assert corpus.kept().episodes()[0].texts == TableReader(corpus).episodes[0].texts


def test_windows_of_shards_say_the_same_also_in_later_segments(corpus, tmp_path):
    reader = TableReader(corpus)
    write_shards(reader, tmp_path / "shards", plan(reader, mixture=Mixture(), segment_steps=7))
    assert said(ShardReader(tmp_path / "shards")) == phrases_of(0, STEPS)


def test_texts_move_with_the_steps_that_curation_cuts_off(corpus, tmp_path):
    trim(corpus, 5, 3)
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    reader = TableReader(Corpus.open(corpus.uri))
    wanted = phrases_of(5, STEPS - 3)
    assert said(reader) == wanted
    assert reader.episodes[0].instruction == tuple(dict.fromkeys(wanted))
    write_shards(reader, tmp_path / "shards", plan(reader, mixture=Mixture(), segment_steps=7))
    assert said(ShardReader(tmp_path / "shards")) == wanted


def test_the_column_instruction_lists_every_phrase_for_users_and_filters(corpus):
    (row,) = corpus.table(["instruction", "texts"]).to_pylist()
    assert row["instruction"] == [*dict.fromkeys(phrases_of(0, STEPS))]
    assert row["texts"][1] == {"start": 3, "end": 6, "phrases": ["do step 3"]}
    assert corpus.count("array_has(instruction, 'do step 3')") == 1
    assert corpus.episode(corpus.episode_ids()[0]).texts[1] == Text(3, 6, ("do step 3",))
    assert verify(corpus).ok


def test_a_corpus_from_before_there_were_spans_is_read_and_extended(tmp_path, monkeypatch):
    older = pa.schema([f for f in EPISODES if f.name != "texts"], metadata=EPISODES.metadata)
    old, new = robot_episode("old", num_steps=6), step_by_step("new", 6)
    with monkeypatch.context() as patch:
        columns = pa.schema([f for f in tables.EPISODES if f.name != "texts"], metadata=older.metadata)
        for module in (new_rows, tables):
            patch.setattr(module, "EPISODES", columns)
        corpus = make_corpus(tmp_path / "corpus", {"a": [replace(old, texts=texts.whole_episode(["x", "y"], 6))]})
    assert "texts" not in corpus.schema.names
    assert said(TableReader(corpus)) == ["x", "y"] * 3
    assert corpus.episode(old.episode_id).texts == (Text(0, 6, ("x", "y")),)
    assert verify(corpus).ok
    staging._table.cache_clear()  # another run, in another process
    add_parts(Corpus.open_or_create(corpus.uri), {"b": [new]})
    corpus = Corpus.open(corpus.uri)
    assert verify(corpus).ok
    reader = TableReader(corpus)
    by_id = {e.episode_id: said(reader, e.row) for e in reader.episodes}
    assert by_id == {old.episode_id: ["x", "y"] * 3, new.episode_id: phrases_of(0, 6)}


def test_shards_from_before_there_were_spans_are_read(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("old", num_steps=6)]})
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    reader = TableReader(Corpus.open(corpus.uri))
    folder = tmp_path / "shards"
    write_shards(reader, folder, plan(reader, mixture=Mixture()))
    index = folder / "shard-000000.parquet"
    pq.write_table(pq.read_table(index).drop_columns(["texts"]), index)
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["checksum"], manifest["shards"][0]["index_sha256"]
    (folder / MANIFEST).write_text(json.dumps(manifest | {"version": 2}))
    assert said(ShardReader(folder)) == ["do old"] * 6


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (Text(0, 7, ("a",)), "a text holds for steps 0 to 7, expected some of its 6 steps"),
        (Text(3, 3, ("a",)), "a text holds for steps 3 to 3"),
        (Text(-1, 3, ("a",)), "a text holds for steps -1 to 3"),
        (Text(0, 3, ()), "says nothing"),
        (Text(0, 3, ("a", " ")), "says nothing"),
    ],
)
def test_a_text_that_cannot_be_costs_its_episode(text, reason):
    episode = replace(robot_episode("bad", num_steps=6), texts=[text])
    with pytest.raises(RecordError, match=reason):
        check_episode(episode, "made", {"arm"})


def test_verify_finds_texts_that_cannot_be(corpus):
    corpus.update_fragment(
        corpus.fragment_ids()[0],
        pa.table(
            {
                "_rowid": corpus.fragment_table(corpus.fragment_ids()[0], ["episode_id"])["_rowid"],
                "instruction": pa.array([["other"]]),
            }
        ),
    )
    (problem,) = verify(corpus).problems
    assert "its instruction is not what its texts say" in problem


def test_a_line_says_what_is_said_and_when():
    there = [Text(0, 9, ("tidy up", "clear it")), Text(2, 5, ("take the cup",))]
    assert texts.summary(there, 9) == "tidy up | clear it; steps 2 to 5: take the cup"
    assert texts.summary(texts.spans([str(k)] for k in range(9)), 9).endswith("steps 5 to 6: 5; and 3 more")
    assert texts.summary([], 9) == ""


def test_a_demonstration_to_replay_is_the_steps_that_were_asked_for_the_same(tmp_path):
    parts = (Text(0, 24, ("tidy up",)), Text(3, 9, ("take it", "grasp it")), Text(9, 20, ("put it down",)))
    corpus = make_corpus(tmp_path / "corpus", {"a": [replace(step_by_step(), texts=parts)]})
    action = corpus.episode(corpus.episode_ids()[0]).action
    for said, steps in (("tidy up", slice(0, 24)), ("grasp it", slice(3, 9)), ("put it down", slice(9, 20))):
        (shown,) = demonstrations(corpus.uri, "made", said)
        assert np.array_equal(shown, action[steps])


def test_a_demonstration_to_replay_is_without_idle_ends_and_of_no_episode_that_was_dropped(tmp_path):
    parts = (Text(0, 24, ("tidy up",)), Text(3, 9, ("take it",)))
    corpus = make_corpus(tmp_path / "corpus", {"a": [replace(step_by_step(name), texts=parts) for name in "ab"]})
    trim(corpus, 5, 4)
    corpus.ensure_columns(pa.schema([("keep", pa.bool_())]))
    rows = corpus.fragment_table(0, ["source_record"])
    keep = pa.array([record == "a" for record in rows["source_record"].to_pylist()])
    corpus.update_fragment(0, pa.table({"_rowid": rows["_rowid"], "keep": keep}))
    (kept,) = corpus.table(["episode_id"], where="keep").to_pylist()
    action = corpus.episode(kept["episode_id"]).action
    for said, steps in (("tidy up", slice(5, 20)), ("take it", slice(5, 9))):
        (shown,) = demonstrations(corpus.uri, "made", said)
        assert np.array_equal(shown, action[steps])


def test_a_plan_is_drawn_for_what_holds_where_it_starts():
    episodes = [
        make_episode(i, num_steps=30, texts=(Text(0, 8, ("reach",)), Text(8, 30, (f"lift {i % 2}",)))) for i in range(4)
    ]
    chosen = plans.choose(MadeReader(episodes), [], 1.0, 2, interval_s=0.3)
    assert [texts.said_at(e.texts, 10) for e in chosen] == ["lift 0", "lift 1"]


def test_many_rows_are_read_as_each_by_itself():
    draw = np.random.default_rng(0)
    rows = [
        None if i % 5 == 0 else [{"start": int(a), "end": 9, "phrases": [f"p{b}", "q"][: 1 + b % 2]} for a, b in pairs]
        for i in range(60)
        for pairs in [draw.integers(0, 8, (draw.integers(0, 4), 2))]
    ]
    said = [[f"old {i}"] if i % 2 else None for i in range(60)]
    columns = {"texts": pa.array(rows, TEXTS), "instruction": pa.array(said, pa.list_(pa.string()))}
    table = pa.table({**columns, "num_steps": pa.array([9] * 60)})
    wanted = [texts.from_row(row, old, 9) for row, old in zip(rows, said, strict=True)]
    assert read_texts(table) == wanted
    assert read_texts(pa.concat_tables([table[:7], table[7:]])) == wanted
    assert read_texts(table[7:31]) == wanted[7:31]
    assert read_texts(table[:0]) == []
    assert read_texts(table.drop_columns("texts")) == [texts.from_row(None, old, 9) for old in said]


def test_human_clips_have_texts_too(tmp_path):
    clip = replace(human_clip("c"), texts=(Text(0, 8, ("open",)), Text(8, 20, ("close",))))
    reader = TableReader(make_corpus(tmp_path / "corpus", {"a": [clip]}))
    assert said(reader) == ["open"] * 8 + ["close"] * 12
    assert np.array_equal([t.start for t in reader.episodes[0].texts], [0, 8])
