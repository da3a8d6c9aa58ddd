"""`villa eval compare --simulator libero`, with a simulator that plays by a plan."""

import json

import pytest

from tests.support.fake_libero import begun, make_python, num_scenes
from tests.support.fake_openpi import openpi_server, villa_metadata


@pytest.fixture
def compare(villa, tmp_path):
    def run(plan, *argv: object, policies=("random", "expert")):
        python = make_python(tmp_path / "sim", plan)
        where = ("--simulator", "libero", "--libero.python", python, "--out", tmp_path / "compare")
        return villa("eval", "compare", *policies, *where, "--processes", 1, *argv, "--json"), python

    return run


def test_it_stops_when_it_is_decided_and_goes_on_where_it_was(compare):
    tasks = ("--task", "libero_object/1", "--task", "libero_object/3", "--budget", 60)
    said, python = compare({"random": "fail"}, *tasks, "--pairs-per-look", 4)
    assert said.code == 0, said.err
    (one,) = said.report["comparisons"]
    assert (one["a"], one["b"], one["verdict"]) == ("random", "expert", "B")
    assert [row["task"] for row in one["rows"]] == ["libero_object/01", "libero_object/03", "all"]
    assert one["pairs_to_verdict"] < 20, "eight starts that one alone solves decide"
    played = begun(python)
    assert {name.partition("/")[0] for name in played} == {"1", "3"}
    again, _ = compare({"random": "fail"}, *tasks, "--pairs-per-look", 4)
    assert again.report["comparisons"] == said.report["comparisons"]
    assert begun(python) == played, "nothing was played twice"


def test_policies_are_held_against_what_it_shows_only_where_something_is_played(compare):
    with openpi_server(villa_metadata()) as url:
        settings = ("--task", "libero_object/1", "--budget", 2)
        said, python = compare({}, *settings, policies=("random", url))
        assert said.code == 0, said.err
        assert num_scenes(python) == 1
        again, _ = compare({}, *settings, policies=("random", url))
        assert again.report == said.report
        assert num_scenes(python) == 1


def test_all_policies_play_the_same_starts_shuffled_over_tasks(compare):
    said, python = compare({}, "--budget", 20)
    assert said.code == 0, said.err
    (one,) = said.report["comparisons"]
    assert one["verdict"] == "undecided"
    assert sorted(begun(python)) == sorted(f"{task}/{start}" for task in range(10) for start in range(2) for _ in "AB")


def test_what_the_simulator_lost_counts_for_nobody(compare):
    said, _ = compare({"0/1": "crash"}, "--budget", 4, "--task", "libero_object/0")
    assert said.code == 0, said.err
    assert said.report["lost"] == ["libero_object/00, start 1"]
    assert said.report["comparisons"][0]["rows"][-1]["pairs"] == 3


def test_finished_evaluations_are_compared(villa, tmp_path):
    python = make_python(tmp_path / "sim", {"random": "fail"})
    settings = ("--python", python, "--tasks", "[0, 2]", "--episodes", 8, "--workers", 1)
    assert villa("eval", "libero", "random", "--beside", "[expert]", *settings, "--out", tmp_path / "e").code == 0
    said = villa("eval", "compare", f"{tmp_path}/e@random", f"{tmp_path}/e@expert", "--out", tmp_path / "c", "--json")
    assert said.code == 0, said.err
    one = json.loads(said.out)["comparisons"][0]
    assert (one["verdict"], one["rows"][-1]["pairs"]) == ("B", 16)


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (("--task", "libero_object", "--task", "libero_goal"), "expected those of one suite"),
        (("--task", "libero_object/10"), "libero_object has no task '10', expected 0 to 9"),
        (("--task", "libero_object/1", "--budget", 51), "1 tasks have 50 official starts from number 0 on"),
        (("--action-steps", 2), "action_steps is of simulators that run in process, and not of libero; --set libero."),
        (("--libero.init-set", "wide", "--task", "libero_goal"), "know libero_object only"),
    ],
)
def test_what_cannot_be_compared_is_one_line(compare, argv, line):
    said, _ = compare({}, *argv)
    assert said.code == 2
    assert line in said.line
