"""`villa eval`: the name of a simulator stands for its command; `compare` plays no more than it takes, and goes on."""

import json

import pytest

SIMULATORS = "tests.support.line_simulators"
TASKS = ("--task", "forward", "--task", "backward")


@pytest.fixture
def compare(villa, tmp_path):
    def run(*argv, simulator="Hard", out="compare"):
        where = ("--simulator", f"{SIMULATORS}:{simulator}", *TASKS, "--out", tmp_path / out)
        return villa("eval", "compare", *argv, *where)

    return run


def lines(folder):
    return sum(len(path.read_text().splitlines()) for path in folder.glob("episodes/*.jsonl"))


@pytest.mark.slow
def test_it_stops_when_it_is_decided_and_goes_on_where_it_was(compare, tmp_path):
    said = compare("random", "expert", "--pairs-per-look", 10, "--json")
    assert said.code == 0, said.err
    report = json.loads(said.out)
    (one,) = report["comparisons"]
    assert (one["a"], one["b"], one["verdict"]) == ("random", "expert", "B")
    assert one["pairs_to_verdict"] == one["rows"][-1]["pairs"] < 60 < report["budget"]
    assert [row["task"] for row in one["rows"]] == ["backward", "forward", "all"]
    assert (tmp_path / "compare/evidence.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((tmp_path / "compare/comparison.json").read_text()) == report

    played = lines(tmp_path / "compare")
    assert played < report["budget"], "two policies could have played twice as many"
    (tmp_path / "compare/comparison.json").unlink()
    again = compare("random", "expert", "--pairs-per-look", 10, "--json")
    assert json.loads(again.out)["comparisons"] == report["comparisons"]
    assert lines(tmp_path / "compare") == played, "nothing was played twice"

    changed = compare("random", "expert", "--level", 0.1)
    assert changed.code == 2
    assert "a comparison with another level was begun there (0.05, now 0.1)" in changed.err


@pytest.mark.slow
def test_finished_evaluations_are_compared_on_the_starts_that_both_have(villa, compare, tmp_path):
    for policy, simulator, episodes in (("random", "Line", 12), ("expert", "Hard", 15)):
        argv = (f"{SIMULATORS}:{simulator}", policy, *TASKS, "--episodes", episodes, "--num-filmstrips", 0)
        assert villa("eval", *argv, "--out", tmp_path / "eval").code == 0
    said = villa(
        "eval", "compare", f"{tmp_path}/eval@random", f"{tmp_path}/eval@expert", "--out", tmp_path / "c", "--json"
    )
    assert said.code == 0, said.err
    report = json.loads(said.out)
    (one,) = report["comparisons"]
    assert not report["sequential"]
    assert one["rows"][-1]["pairs"] == 24
    assert one["rows"][-1]["b"] == 16, "every third start is hard"
    assert one["verdict"] == "B"
    ambiguous = villa("eval", "compare", tmp_path / "eval", f"{tmp_path}/eval@expert", "--out", tmp_path / "c")
    assert "has results of expert, random; name one, as" in ambiguous.err
    mixed = villa("eval", "compare", f"{tmp_path}/eval@random", "expert", "--out", tmp_path / "c")
    assert "expert: is no folder of results" in mixed.err


def test_a_plan_of_which_nothing_was_played_is_replaced(compare, tmp_path):
    assert "cannot be set up" in compare("random", "expert", "--budget", 4, simulator="Unmade").err
    assert json.loads((tmp_path / "compare/plan.json").read_text())["budget"] == 4
    said = compare("random", "expert", "--budget", 2, simulator="Line")
    assert said.code == 0, said.err
    assert json.loads((tmp_path / "compare/plan.json").read_text())["budget"] == 2
    refused = compare("random", "expert", "--budget", 4, simulator="Line")
    assert "a comparison with another budget was begun there (2, now 4)" in refused.line


def test_a_start_that_the_simulator_lost_counts_for_nobody(compare):
    said = compare("random", "expert", "--budget", 6, simulator="Raises", out="lost")
    assert said.code == 0, said.err
    assert "lost to the simulator, for all: forward, start 1000001" in said.out
    assert "undecided after 4 pairs" in said.out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("expert",), "found 1 policy, expected two or more"),
        (("expert", "expert"), "the same policy is named twice"),
        (("expert", "nowhere/act"), "nowhere/act: no such folder"),
    ],
)
def test_what_cannot_be_compared_is_one_line(compare, argv, message):
    said = compare(*argv)
    assert said.code == 2
    assert message in said.err.splitlines()[-1]


def test_the_former_way_is_taken_for_one_more_version(villa, tmp_path):
    argv = ("--episodes", 2, "--task", "forward", "--num-filmstrips", 0, "--out", tmp_path)
    said = villa("eval", "expert", "--simulator", f"{SIMULATORS}:Line", *argv)
    assert said.code == 0, said.err
    assert f"write `villa eval {SIMULATORS}:Line expert`" in said.err
    assert "2 of 2" in said.out
    assert "2 of 2" in villa("eval", f"{SIMULATORS}:Line", "expert", *argv).out
