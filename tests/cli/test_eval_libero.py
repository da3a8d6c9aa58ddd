"""`villa eval libero` with a simulator that plays by a plan: what is kept, what is lost, what is refused."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.fake_libero import begun, make_python
from tests.support.fake_openpi import openpi_server


@pytest.fixture
def evaluate(villa, tmp_path):
    def run(python: Path, *argv: object, policy: str = "random", episodes: int = 3):
        common = ("--python", python, "--out", tmp_path / "out", "--episodes", episodes, "--tasks", "[0, 2]")
        return villa("eval", "libero", *([policy] if policy else []), *common, "--workers", 1, *argv, "--json")

    return run


def test_every_task_has_its_rate_with_an_interval_and_all_rules_are_named(evaluate, tmp_path):
    said = evaluate(make_python(tmp_path / "sim", {"0/1": "fail", "2/0": "fail", "2/2": "fail"}))
    assert said.code == 0, said.err
    (arm,) = said.report["arms"]
    assert [(rate["task"], rate["successes"], rate["episodes"]) for rate in arm["tasks"]] == [(0, 2, 3), (2, 1, 3)]
    assert arm["tasks"][1]["failed_starts"] == [0, 2]
    # Wilson's bounds of 3 successes in 6: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n) with z = 1.96.
    assert (arm["low"], arm["high"]) == pytest.approx((0.1876, 0.8124), abs=1e-4)
    rules = said.report["protocol"]
    assert rules["settle steps"] == 10
    assert rules["max steps"] == 280
    assert said.report["versions"]["mujoco"] == "3.3.0"
    assert said.report["published"]["villa-X"] == 97.0


def test_the_same_command_plays_nothing_again(evaluate, tmp_path):
    python = make_python(tmp_path / "sim")
    first = evaluate(python)
    assert len(begun(python)) == 6
    assert evaluate(python).report == first.report
    assert len(begun(python)) == 6
    evaluate(python, "--settle-steps", 0)
    assert len(begun(python)) == 12, "other rules, other episodes"


def test_more_starts_add_to_those_that_were_played(evaluate, tmp_path):
    python = make_python(tmp_path / "sim")
    evaluate(python, episodes=2)
    evaluate(python, episodes=3)
    assert sorted(begun(python)) == ["0/0", "0/1", "0/2", "2/0", "2/1", "2/2"]


@pytest.mark.parametrize(
    ("what", "why"), [("crash", "died with exit code 3: eglMakeCurrent: no context"), ("hang", "said nothing for 2 s")]
)
def test_a_simulator_that_dies_or_hangs_costs_one_episode_which_is_named(evaluate, tmp_path, what, why):
    python = make_python(tmp_path / "sim", {"0/1": what})
    said = evaluate(python, "--hang-s", 2)
    assert said.code == 0, said.err
    (arm,) = said.report["arms"]
    assert (arm["successes"], arm["episodes"]) == (5, 5)
    assert why in arm["lost"]["0/1"]
    make_python(tmp_path / "sim")
    (arm,) = evaluate(python).report["arms"]
    assert (arm["episodes"], arm["lost"]) == (6, {})
    assert sorted(begun(python)) == ["0/0", "0/1", "0/1", "0/2", "2/0", "2/1", "2/2"]


def test_a_server_that_goes_away_stops_the_command_and_what_was_played_is_kept(evaluate, tmp_path):
    python = make_python(tmp_path / "sim", {"2/0": "policy"})
    with openpi_server({}) as url:
        said = evaluate(python, "--server", url, policy="")
        assert said.code == 2
        assert "the server went away" in said.line
        make_python(tmp_path / "sim")
        assert evaluate(python, "--server", url, policy="").code == 0
    assert sorted(begun(python)) == ["0/0", "0/1", "0/2", "2/0", "2/0", "2/1", "2/2"]


def test_a_server_that_is_not_there_is_one_line(evaluate, tmp_path):
    said = evaluate(make_python(tmp_path / "sim"), "--server", "ws://127.0.0.1:1", policy="")
    assert said.code == 2
    assert "no policy there" in said.line


def test_what_stands_beside_plays_the_same_starts(evaluate, tmp_path):
    python = make_python(tmp_path / "sim")
    said = evaluate(python, "--beside", "[replay, expert]")
    assert [arm["name"] for arm in said.report["arms"]] == ["random", "replay", "expert"]
    assert [arm["episodes"] for arm in said.report["arms"]] == [6, 6, 6]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (("random", "--python", "nowhere/python"), "`make sim-libero`"),
        (("no-such-policy",), "no-such-policy: no such folder"),
        (("random", "--tasks", "[10]"), "libero_object has no task 10, expected 0 to 9"),
        (("random", "--episodes", "51"), "there are 50 official starts"),
        (("random", "--server", "ws://x"), "give a policy, or --server, and not both"),
        (("expert", "--suite", "libero_goal"), "know libero_object only"),
        (("random", "--beside", "[blank]"), "a baseline sees no pictures"),
    ],
)
def test_what_cannot_be_played_is_one_line(villa, tmp_path, argv, line):
    python = () if "--python" in argv else ("--python", make_python(tmp_path / "sim"))
    said = villa("eval", "libero", *argv, *python, "--out", tmp_path / "out")
    assert said.code == 2
    assert line in said.line


def test_a_missing_asset_stops_the_command_and_what_was_played_is_kept(evaluate, tmp_path):
    said = evaluate(make_python(tmp_path / "sim", {"2/0": "broken"}))
    assert said.code == 2
    assert "FileNotFoundError: no mesh; `make sim-libero` makes it anew; finished episodes are kept" in said.line
    python = make_python(tmp_path / "sim")
    assert evaluate(python).code == 0
    assert sorted(begun(python)) == ["0/0", "0/1", "0/2", "2/0", "2/0", "2/0", "2/1", "2/2"]


def test_an_environment_without_libero_is_one_line(villa, tmp_path):
    said = villa("eval", "libero", "random", "--python", sys.executable, "--out", tmp_path / "out")
    assert said.code == 2
    assert "No package metadata was found for libero" in said.line
    assert "make sim-libero" in said.line


def test_a_broken_environment_is_one_line(villa, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'libero'\" >&2; exit 1\n")
    python.chmod(0o755)
    said = villa("eval", "libero", "random", "--python", python, "--out", tmp_path / "out")
    assert said.code == 2
    assert "No module named 'libero'" in said.line
    assert "make sim-libero" in said.line


def test_episodes_are_files_that_say_how_each_went(evaluate, tmp_path):
    evaluate(make_python(tmp_path / "sim", {"0/1": "fail"}))
    files = sorted((tmp_path / "out" / "episodes").rglob("*.json"))
    assert [file.name for file in files] == [f"{task:02d}-{start:03d}.json" for task in (0, 2) for start in range(3)]
    assert json.loads(files[1].read_text())["success"] is False
