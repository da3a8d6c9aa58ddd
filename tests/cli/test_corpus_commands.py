import json
from dataclasses import replace

import pytest

from dataengine.store import Corpus, verify
from tests.support.corpora import add_parts, make_corpus, robot_episode


@pytest.fixture
def corpus(tmp_path):
    """Four small parts, a corpus of its own: these commands write."""
    parts = {name: [robot_episode(f"{name}{i}") for i in range(2)] for name in "abcd"}
    return make_corpus(tmp_path / "corpus", parts)


def test_compact_joins_small_fragments_and_says_what_it_did(villa, corpus):
    said = villa("corpus", "compact", corpus.uri, "--json")
    assert said.code == 0
    assert (said.report["fragments_before"], said.report["fragments_after"]) == (4, 1)
    assert said.report["bytes_after"] > said.report["bytes_before"] > 0
    corpus.refresh()
    assert verify(corpus, deep=True).ok
    run = corpus.runs().to_pylist()[-1]
    assert run["command"] == "compact"
    assert json.loads(run["counts"])["fragments_after"] == 1
    again = villa("corpus", "compact", corpus.uri)
    assert "1 fragments, none small enough to be worth rewriting" in again.out
    assert len(corpus.runs()) == 2


def test_info_tells_serious_notes_of_each_dataset_once(villa, corpus):
    no_state, no_words = (robot_episode(record, dataset="far") for record in ("f0", "f1"))
    no_state = replace(no_state, state=None, state_encoding="none", notes={"doubt": "in ticks"})
    no_words = replace(no_words, texts=(), notes={"doubt": "in ticks", "jaw_mm": "80"})
    add_parts(corpus, {"far": [no_state, no_words]})
    said = villa("corpus", "info", corpus.uri)
    for line in (
        "far: doubt (all 2 episodes): in ticks",
        "far: instruction_missing (1 of 2 episodes): no instruction",
        "far: state_missing (1 of 2 episodes): no state",
    ):
        assert said.out.count(line) == 1
    assert "made: " not in said.out
    facts = villa("corpus", "info", corpus.uri, "--json").report["datasets"]
    assert [[note["key"] for note in each["notes"]] for each in facts] == [
        ["doubt", "instruction_missing", "state_missing"],
        [],
    ]


def test_a_dry_run_of_compact_changes_nothing(villa, corpus):
    before = Corpus.open(corpus.uri).version
    said = villa("corpus", "compact", corpus.uri, "--older-than", "1h", "--dry-run")
    assert "would make 1 of 4 fragments" in said.out
    assert Corpus.open(corpus.uri).version == before
    assert len(corpus.runs()) == 1


@pytest.mark.parametrize(
    ("age", "message"), [("7", "expected an age such as 7d"), ("5m", "give at least 1h"), ("soon", "expected an age")]
)
def test_an_age_that_is_none_or_too_young_is_refused_before_anything_is_written(villa, corpus, age, message):
    said = villa("corpus", "compact", corpus.uri, "--older-than", age)
    assert said.code == 2
    assert message in said.line
    assert len(Corpus.open(corpus.uri).fragment_ids()) == 4


def test_a_snapshot_is_taken_listed_and_compared_with(villa, corpus):
    assert "no snapshots" in villa("corpus", "snapshot", corpus.uri, "--list").out
    taken = villa("corpus", "snapshot", corpus.uri, "march", "--json").report
    assert (taken["name"], taken["episodes"], taken["datasets"]) == ("march", 8, {"made": 8})
    assert [s["name"] for s in villa("corpus", "snapshot", corpus.uri, "--list", "--json").report["snapshots"]] == [
        "march"
    ]
    assert "march" in villa("corpus", "snapshot", corpus.uri, "--list").out
    assert "no difference" in villa("corpus", "diff", corpus.uri, "march", "now").out
    add_parts(corpus, {"e": [robot_episode("e0")]})
    said = villa("corpus", "diff", corpus.uri, "march", "now", "--json").report
    assert (said["added"], said["removed"], said["changed"]) == (1, 0, 0)
    assert "snapshots: march" in villa("corpus", "info", corpus.uri).out


def test_a_snapshot_pins_a_mixture_and_shows_what_it_draws(villa, corpus, tmp_path):
    add_parts(corpus, {"other": [robot_episode("o", dataset="other")], "third": [robot_episode("t", dataset="third")]})
    mixture = tmp_path / "mine.yaml"
    mixture.write_text("weights: {made: 1, other: 3, absent: 1}\n")
    said = villa("corpus", "snapshot", corpus.uri, "march", "--mixture", mixture)
    assert said.code == 2
    assert "mixture names dataset 'absent', which offers nothing to train on" in said.line
    assert "no snapshots" in villa("corpus", "snapshot", corpus.uri, "--list").out
    mixture.write_text("weights: {made: 1, other: 3, absent: 1}\noptional: [absent]\n")
    taken = villa("corpus", "snapshot", corpus.uri, "march", "--mixture", mixture)
    rows = [line.split() for line in taken.out.splitlines()]
    assert ["made", "8", "56", "25.00", "%"] in rows  # 30 steps at 10 Hz, spread over 49: 7 starts each
    assert ["other", "1", "7", "75.00", "%"] in rows
    assert ["third", "1", "-", "0"] in rows
    assert "not there, and left out: absent" in taken.out
    assert "note: it has no statistics; run `villa stats" in taken.out
    assert villa("corpus", "snapshot", corpus.uri, "--list", "--json").report["snapshots"][0]["mixture"]["weights"] == {
        "made": 1.0,
        "other": 3.0,
        "absent": 1.0,
    }


def test_a_snapshot_tells_of_statistics_older_than_its_episodes(villa, corpus):
    villa("stats", corpus.uri)
    assert "note" not in villa("corpus", "snapshot", corpus.uri, "one").out
    assert villa("corpus", "compact", corpus.uri).code == 0
    assert "note" not in villa("corpus", "snapshot", corpus.uri, "two").out
    add_parts(corpus, {"e": [robot_episode("e0")]})
    assert "its statistics are older than its episodes" in villa("corpus", "snapshot", corpus.uri, "three").out


def test_a_state_is_named_with_an_at_sign_by_every_command_that_reads(villa, corpus):
    villa("corpus", "snapshot", corpus.uri, "march")
    add_parts(corpus, {"e": [robot_episode("e0")]})
    assert villa("corpus", "info", f"{corpus.uri}@march", "--json").report["episodes"] == 8
    assert villa("corpus", "info", corpus.uri, "--json").report["episodes"] == 9
    assert villa("corpus", "verify", f"{corpus.uri}@march").code == 0
    said = villa("corpus", "info", f"{corpus.uri}@april")
    assert (said.code, "no snapshot 'april' (`villa corpus snapshot` takes one); known: march" in said.line) == (
        2,
        True,
    )


@pytest.mark.parametrize("argv", [("stats",), ("curate",), ("corpus", "snapshot"), ("corpus", "compact")])
def test_commands_that_write_refuse_a_state_that_never_changes(villa, corpus, argv):
    villa("corpus", "snapshot", corpus.uri, "march")
    before = Corpus.open(corpus.uri).version
    said = villa(*argv, f"{corpus.uri}@march", *(["again"] if "snapshot" in argv else []))
    assert said.code == 2
    assert "march" in said.line
    assert "never" in said.line
    assert Corpus.open(corpus.uri).version == before


def test_a_snapshot_that_exists_is_an_error_in_one_line(villa, corpus):
    villa("corpus", "snapshot", corpus.uri, "march")
    said = villa("corpus", "snapshot", corpus.uri, "march")
    assert said.code == 2
    assert "there is a snapshot 'march' already" in said.line


@pytest.mark.parametrize("argv", [[], ["march", "--list"]])
def test_snapshot_wants_a_name_or_to_list(villa, corpus, argv):
    said = villa("corpus", "snapshot", corpus.uri, *argv)
    assert said.code == 2
    assert "either a NAME" in said.line


def test_verify_says_what_is_wrong_line_by_line_and_fails(villa, corpus):
    corpus.lance_table.update({"num_steps": "3"}, where="source_record IN ('a0', 'b1')")
    said = villa("corpus", "verify", corpus.uri)
    assert said.code == 1
    assert sum("time_ns has 30 values for 3 steps" in line for line in said.out.splitlines()) == 2


def test_info_tells_when_compaction_pays(villa, corpus, monkeypatch):
    assert "fragments slow down" not in villa("corpus", "info", corpus.uri).out
    monkeypatch.setattr("dataengine.store.upkeep.compaction.PAYS", 3)
    assert (
        "4 fragments slow down every command: `villa corpus compact` makes 1 of them"
        in villa("corpus", "info", corpus.uri).out
    )
