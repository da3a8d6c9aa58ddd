"""What is measured once for each state of a corpus is what each reader would measure, and no other state's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataengine import shared_table
from dataengine.store import Corpus
from dataengine.store.read import felt, framing
from dataengine.store.read.reader import TableReader
from tests.support.corpora import add_parts, human_clip, make_corpus, robot_episode
from tests.support.hands import some_hands

STEPS = 12


def person(record: str) -> object:
    return replace(human_clip(record, num_steps=STEPS), hands=some_hands(STEPS, absent=3))


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(shared_table, "MIN_ROWS", 1)
    return make_corpus(tmp_path / "corpus", {"a": [person("p0"), person("p1")], "b": [robot_episode("r", num_steps=9)]})


def never(*_: object, **__: object) -> None:
    raise AssertionError("it is known")


def test_hands_are_measured_once_and_read_when_they_are_wanted(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    first = TableReader(corpus, use_hands=True)
    with monkeypatch.context() as patch:
        patch.setattr(felt._Hands, "measure", never)
        again = TableReader(corpus, use_hands=True)
    assert {n: one.to_json() for n, one in again.felt().statistics.items()} == {
        n: one.to_json() for n, one in first.felt().statistics.items()
    }
    people = [e.row for e in again.episodes if e.kind == "human"]
    expected = [(first.state(row), first.action(row)) for row in people]
    again.fetch(people)
    monkeypatch.setattr(again.corpus.lance_table, "take", never, raising=False)
    for row, (state, action) in zip(people, expected, strict=True):
        np.testing.assert_array_equal(again.state(row), state)
        np.testing.assert_array_equal(again.action(row), action)
    monkeypatch.undo()
    add_parts(corpus, {"c": [person("p2")]})
    assert TableReader(Corpus.open(corpus.uri)).felt().telling.sum() == 3


def test_how_frames_came_to_rest_is_looked_for_once(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    known = TableReader(corpus).identity.framings
    with monkeypatch.context() as patch:
        patch.setattr(framing, "shapes", never)
        assert TableReader(corpus).identity.framings == known
    add_parts(corpus, {"d": [robot_episode("s", dataset="another")]})
    assert set(TableReader(Corpus.open(corpus.uri)).identity.framings) == {*known, "another"}
