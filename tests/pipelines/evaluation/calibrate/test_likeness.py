"""Recordings whose starts nobody noted tell another camera, rate, scale or sense of actions all the same."""

import dataclasses

import numpy as np
import pytest

from dataengine.errors import DataEngineError
from dataengine.texts import whole_episode
from pipelines.evaluation.calibrate.config import CalibrateConfig
from pipelines.evaluation.calibrate.likeness import Recordings, likeness, recordings
from pipelines.evaluation.calibrate.rollout import record
from tests.support.corpora import make_corpus, robot_episode
from tests.support.line_simulators import Line
from tests.support.simulator_faults import MOVES, SIGHTS, Fault, acting

BOUNDS = CalibrateConfig(simulator="metaworld")


def halved(action):
    action[:3] *= 0.5
    return action


def judged(simulator: Line, seeds: range, control_hz: float = 20.0, of: range = range(100, 110)) -> str:
    recorded = [record(Line("forward"), "forward", seed) for seed in of]
    played = [record(simulator, "forward", seed) for seed in seeds]
    return " ".join(likeness("forward", Recordings(control_hz, recorded), played, Line, BOUNDS).faults)


def test_other_starts_of_the_same_simulator_are_alike() -> None:
    assert judged(Line("forward"), range(6)) == ""


@pytest.mark.parametrize("seed", range(100, 104))
def test_a_single_recording_may_begin_where_others_do_not(seed: int) -> None:
    assert judged(Line("forward"), range(6), of=range(seed, seed + 1)) == ""


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (MOVES["another rate"][0], "the hand goes 2.00 times as far"),
        (MOVES["gripper sign"][0], "gripper"),
        (acting(halved), "the hand goes 0.50 times as far"),
        (SIGHTS["upside down"][0], "upside down?"),
        (SIGHTS["mirrored"][0], "mirrored?"),
        (SIGHTS["BGR"][0], "red and blue swapped?"),
        (SIGHTS["darker"][0], "first pictures of camera primary differ"),
    ],
)
def test_a_fault_is_named(fault: Fault, message: str) -> None:
    simulator = Line("forward")
    fault(simulator)
    assert message in judged(simulator, range(6))


def test_another_rate_is_named() -> None:
    assert "recorded at 5 Hz, line has 20" in judged(Line("forward"), range(6), control_hz=5.0)


def test_recordings_are_those_of_the_robot_that_was_asked_for_the_task(tmp_path) -> None:
    asked = robot_episode("a", embodiment="sawyer", control_hz=20.0)
    asked = dataclasses.replace(asked, texts=whole_episode(["go forward"], asked.num_steps))
    others = [robot_episode("b", embodiment="sawyer"), robot_episode("c")]
    corpus = make_corpus(tmp_path / "corpus", {"part": [asked, *others]}).uri
    (task, known), *more = recordings(corpus, Line, None).items()
    assert (task, len(known.rollouts), known.control_hz, more) == ("forward", 1, 20.0, [])
    np.testing.assert_array_equal(known.rollouts[0].states, asked.state)
    with pytest.raises(DataEngineError, match=r"no episodes in which sawyer was asked for backward .*arm, sawyer"):
        recordings(corpus, Line, ["backward"])
