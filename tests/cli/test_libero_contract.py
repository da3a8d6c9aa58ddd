"""`villa eval libero`: a policy that does not fit is refused before anything is played, with what to do about it."""

import pytest

from tests.support.fake_libero import begun, make_python
from tests.support.fake_openpi import openpi_server, villa_metadata


@pytest.fixture
def evaluate(villa, tmp_path):
    def run(metadata, *argv: object, plan=None):
        python = make_python(tmp_path / "sim", plan)
        with openpi_server(metadata) as url:
            settings = ("--python", python, "--out", tmp_path / "out", "--tasks", "[0]", "--episodes", 1)
            return villa("eval", "libero", "--server", url, *settings, *argv, "--json"), begun(python)

    return run


def test_a_policy_that_fits_is_played_and_the_report_says_what_was_compared(evaluate):
    said, played = evaluate(villa_metadata(("image", "wrist")))
    assert said.code == 0, said.err
    assert played == ["0/0"]
    assert said.report["contract"].startswith("acts as in openx/libero; rate, encodings, grippers, cameras")


def test_a_server_of_others_says_nothing_of_its_training(evaluate):
    said, _ = evaluate({})
    assert said.code == 0, said.err
    assert said.report["contract"] == "the server does not say what its policy was trained on"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"rate_hz": 10.0}, "has 10 actions in a second, libero 20"),
        ({"action_encoding": "joint_delta"}, "the policy's action is joint_delta"),
        ({"state_grippers": [5]}, "the policy's state has grippers at 5, that of libero at 6"),
        ({"state_low": [2.0] * 7, "state_high": [3.0] * 7}, "of the state starts at"),
        ({"action_low": [-1.0] * 7, "action_high": [1.0] * 7}, "common motions reach 1 a step"),
        ({"cameras": ("image", "wrist_2")}, "the policy reads camera wrist_2, libero has primary, wrist"),
    ],
)
def test_what_differs_is_refused_and_nothing_is_played(evaluate, change, line):
    said, played = evaluate(villa_metadata(**change))
    assert said.code == 2
    assert line in said.line
    assert not played


def test_a_difference_may_be_accepted(evaluate):
    said, played = evaluate(villa_metadata(rate_hz=10.0), "--accept", "[rate]")
    assert said.code == 0, said.err
    assert played == ["0/0"]


@pytest.mark.parametrize("what", ["crash", "hang"])
def test_a_start_that_the_simulator_fails_at_is_passed_over(evaluate, what):
    metadata = villa_metadata(state_low=[2.0] * 7, state_high=[3.0] * 7)
    said, _ = evaluate(metadata, "--hang-s", 1, plan={"scene/0": what})
    assert "of the state starts at" in said.line


def test_a_simulator_that_shows_no_start_is_one_line(evaluate):
    said, played = evaluate(villa_metadata(), plan={f"scene/{start}": "crash" for start in range(10)})
    assert said.code == 2
    assert "LIBERO: the simulator died with exit code 3" in said.line
    assert not played


def test_a_policy_of_another_robot_is_refused(evaluate):
    metadata = {"server": "villa-engine", "embodiments": {"widowx": {}}}
    said, _ = evaluate(metadata)
    assert "serves widowx, expected 'franka'" in said.line
