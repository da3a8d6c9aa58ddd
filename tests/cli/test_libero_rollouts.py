"""What `villa eval libero` played becomes a dataset that ingest reads, and its failures are explained."""

import json

import pytest

from dataengine.store import Corpus
from tests.support.corpora import make_corpus, robot_episode
from tests.support.fake_libero import begun, make_python
from tests.support.lams import make_lam


@pytest.fixture
def evaluate(villa, tmp_path):
    def run(plan, *argv: object, episodes: int = 2):
        python = make_python(tmp_path / "sim", plan)
        settings = ("--python", python, "--out", tmp_path / "eval", "--tasks", "[0, 2]", "--workers", 1)
        return villa("eval", "libero", "random", *settings, "--episodes", episodes, *argv, "--json"), begun(python)

    return run


def listed(folder):
    rows = [json.loads(line) for line in (folder / "meta/rollouts.jsonl").read_text().splitlines()]
    return [(row["task"], row["seed"], row["success"]) for row in rows]


def test_successes_and_failures_come_back_as_a_corpus(evaluate, villa, tmp_path):
    said, played = evaluate({"2/1": "fail"}, "--record", tmp_path / "recorded", "--beside", "[expert]")
    assert said.code == 0, said.err
    assert said.report["recorded"] == f"4 episodes in {tmp_path / 'recorded'}"
    assert len(played) == 8, "what stands beside is played, and not recorded"
    assert villa("ingest", "lerobot", tmp_path / "recorded", "--corpus", tmp_path / "corpus").code == 0
    corpus = Corpus.open(str(tmp_path / "corpus"))
    rows = corpus.table(
        ["embodiment", "control_hz", "num_steps", "instruction", "notes", "state", "action"]
    ).to_pylist()
    assert [json.loads(row["notes"])["outcome"] for row in rows].count("failure") == 1
    assert {(row["embodiment"], row["control_hz"], row["num_steps"]) for row in rows} == {("franka", 20.0, 20)}
    assert rows[0]["instruction"] == ["pick up the milk"]
    assert rows[0]["state"][:15:7] == pytest.approx([0, 0.01, 0.02])
    assert rows[0]["action"][:7] == pytest.approx([0.01, 0, 0, 0, 0, 0, 1])


def test_nothing_is_twice_or_lost_where_it_was_stopped_or_a_simulator_died(evaluate, tmp_path):
    record, out = ("--record", tmp_path / "recorded"), tmp_path / "recorded"
    plain, _ = evaluate({})
    said, played = evaluate({"0/1": "crash", "2/1": "policy"}, *record)
    assert said.code == 2
    assert len(played) == 4 + 4, "what was played without recording is played anew"
    said, played = evaluate({"0/1": "crash"}, *record)
    assert said.code == 0, said.err
    assert played[8:] == ["0/1", "2/1"], "what was recorded is not played again"
    assert listed(out) == [("libero_object/00", 0, True), ("libero_object/02", 0, True), ("libero_object/02", 1, True)]
    said, played = evaluate({}, *record)
    assert listed(out)[3:] == [("libero_object/00", 1, True)]
    assert said.report["arms"] == plain.report["arms"]
    again, now = evaluate({}, *record)
    assert (again.report, now) == (said.report, played)
    (kept,) = tmp_path.glob("eval/episodes/*/02-001.json")
    kept.write_bytes(kept.read_bytes()[:30])
    assert "02-001.json: is no episode that `villa eval` kept; remove it" in evaluate({}, *record)[0].line
    kept.unlink()
    again, now = evaluate({}, *record)
    assert (again.report, now) == (said.report, [*played, "2/1"])


@pytest.mark.parametrize(("argv", "line"), [(("--init-set", "random"), "no dataset of these"), ((), "mine_failures")])
def test_what_cannot_be_recorded_or_mined_is_one_line_and_nothing_is_played(evaluate, tmp_path, argv, line):
    record = ("--record", tmp_path / "recorded")
    assert evaluate({}, *record, episodes=1)[0].code == 0
    said, played = evaluate({}, *record, *argv, *(() if argv else ("--lam", tmp_path)), episodes=1)
    assert said.code == 2
    assert line in said.line
    assert len(played) == 2


@pytest.mark.parametrize(
    ("record", "line"),
    [("sim/../eval", "is the folder of results, too"), ("sim/plan.json/recorded", "Not a directory")],
)
def test_a_dataset_where_none_can_lie_is_refused_before_anything_is_played(evaluate, tmp_path, record, line):
    said, played = evaluate({}, "--record", tmp_path / record)
    assert said.code == 2
    assert line in said.line
    assert not played


def test_failures_are_beside_the_episodes_that_move_like_them(evaluate, villa, tmp_path):
    parts = {"a": [robot_episode(f"a{i}", dataset="bench", embodiment="franka", num_steps=20) for i in range(3)]}
    corpus = make_corpus(tmp_path / "corpus", parts)
    ids = corpus.table(["episode_id"])["episode_id"].to_pylist()
    make_lam(tmp_path / "lam", corpus.jpegs("primary", [(one, i) for one in ids for i in range(0, 20, 2)]))
    mine = ("--mine-failures", corpus.uri, "--lam", tmp_path / "lam")
    said, _ = evaluate({"2/1": "fail"}, *mine)
    assert said.code == 0, said.err
    report = json.loads((tmp_path / "eval.failures/failures.json").read_text())
    assert [one["name"] for one in report["failures"]] == ["libero_object/02, start 1"]
    assert (report["policy"], report["num_successes"], report["compared_with"]) == ("random", 3, 3)
    assert "libero_object/02, start 1" in said.report["mined"]
    again = villa("eval", "failures", tmp_path / "eval", corpus.uri, "--lam", tmp_path / "lam", "--out", tmp_path / "o")
    assert "1 failures of 4 rollouts" in again.out
