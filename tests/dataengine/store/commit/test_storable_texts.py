"""Words that no table can hold, as JSON and names of files may give them: they cost themselves, not the episode."""

import json
from dataclasses import replace

import pytest

from dataengine.digest import stable_id
from dataengine.episode import Text
from dataengine.errors import RecordError
from dataengine.store import Corpus, verify
from dataengine.store.commit.storable_texts import writable
from tests.support.corpora import add_parts, robot_episode

HALF = json.loads('"\\ud83d"')


def stored(tmp_path, episode):
    corpus = add_parts(Corpus.create(tmp_path / "corpus"), {"a": [episode]})
    (row,) = corpus.table().to_pylist()
    assert verify(corpus).ok
    return row


def test_half_a_letter_in_a_text_or_note_is_replaced_and_noted(tmp_path):
    made = replace(
        robot_episode("r", num_steps=6),
        texts=(Text(0, 6, (f"take {HALF} cup", "greift die gr\u00fcne Tasse \U0001f600")), Text(0, 3, (f"{HALF} up",))),
        notes={f"scene{HALF}": f"a {HALF}", "gripper": "odd"},
    )
    row = stored(tmp_path, made)
    assert row["instruction"] == ["take \ufffd cup", "greift die gr\u00fcne Tasse \U0001f600", "\ufffd up"]
    assert json.loads(row["notes"]) == {
        "scene\\ud83d": "a \ufffd",
        "gripper": "odd",
        "texts_lost": "a text has halves of letters (lone surrogates); "
        "note 'scene\\ud83d' has halves of letters (lone surrogates)",
    }


def test_names_that_are_no_text_are_spelt_out_and_stay_different(tmp_path):
    names = ["caf\udce9", "caf\udcea"]
    made = [replace(robot_episode("r", num_steps=6), source_record=n, source_uri=f"/raw/{n}") for n in names]
    corpus = add_parts(Corpus.create(tmp_path / "corpus"), {"a": made})
    rows = corpus.table().to_pylist()
    assert [row["source_record"] for row in rows] == ["caf\\udce9", "caf\\udcea"]
    assert [row["episode_id"] for row in rows] == [stable_id("made", row["source_record"]) for row in rows]
    assert rows[0]["source_uri"] == "/raw/caf\\udce9"
    assert verify(corpus).ok


def test_what_is_longer_than_any_text_or_name_is_cut(tmp_path):
    made = replace(
        robot_episode("r", num_steps=6), texts=(Text(0, 6, ("a" * 70_000, "go")),), source_record="r" * 70_000
    )
    row = stored(tmp_path, made)
    assert [len(phrase) for phrase in row["instruction"]] == [10_000, 2]
    assert json.loads(row["notes"])["texts_lost"] == "a text has 70000 letters, of which 10000 are kept"
    assert len(row["source_record"]) < 1_000


def test_texts_without_end_cost_their_episode():
    many = tuple(Text(i, i + 1, (f"{i:06d}" + "a" * 9_994,)) for i in range(1_001))
    with pytest.raises(RecordError, match="its texts have 10010000 letters, expected at most 10000000"):
        writable(replace(robot_episode("r", num_steps=6), texts=many))


def test_what_is_sound_stays_the_very_same():
    made = replace(robot_episode("r", num_steps=6), notes={"scene": "k\u00fcche"})
    assert writable(made) is made
