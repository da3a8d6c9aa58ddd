"""Which action of which chunk a robot executes."""

import numpy as np
import pytest

from dataengine.errors import DataEngineError
from pipelines.evaluation.chunks import Chunks
from pipelines.evaluation.config import EvalConfig
from pipelines.evaluation.evaluate import run
from pipelines.evaluation.policy import Prediction
from pipelines.evaluation.simulators import _play
from tests.support.policies import save_policy


def chunk(number, horizon=8):
    """Actions that say which chunk and which of its steps they are: 203 is step 3 of chunk 2."""
    return np.arange(100 * number, 100 * number + horizon, dtype=np.float32)[:, None]


def played(chunks, num_steps, horizon=8):
    done, number = [], 0
    for _ in range(num_steps):
        if chunks.needs_look:
            chunks.take(chunk(number, horizon))
            number += 1
        done.append(round(float(chunks.next()[0]), 3))
    return done


def test_the_first_k_of_a_chunk_are_executed():
    assert played(Chunks(3), 7) == [0, 1, 2, 100, 101, 102, 200]
    assert played(Chunks(0), 9) == [*range(8), 100]


def test_under_latency_the_old_chunk_goes_on_until_the_next_one_arrives():
    assert played(Chunks(3, delay=2), 9) == [0, 1, 2, 3, 4, 102, 103, 104, 202]


def test_what_is_left_of_a_chunk_is_told_for_the_next_one_to_continue():
    chunks = Chunks(3, delay=2)
    assert chunks.executing is None
    played(chunks, 3)
    left = chunks.executing
    assert (left.delay, left.actions[:, 0].tolist()) == (2, [3, 4, 5, 6, 7])


def test_an_ensemble_averages_all_that_was_said_of_a_step_and_forgets_what_is_over():
    done = played(Chunks(1, decay=0.0), 4, horizon=2)
    assert done == [0, (1 + 100) / 2, (101 + 200) / 2, (201 + 300) / 2]


class Counting:
    """Says which look it was, and keeps what it was asked to continue."""

    def __init__(self):
        self.asked = []

    def predict(self, seen, texts, continued=None, beta=None):
        number = len(self.asked)
        self.asked.append(None if continued is None else [(one.delay, one.actions[:, 0].tolist()) for one in continued])
        return Prediction(np.stack([chunk(number)] * len(seen)), np.zeros((len(seen), 0, 0, 0), np.float32))


def test_robots_that_begin_continue_nothing_and_others_what_they_execute():
    policy = Counting()
    actor = _play.InRealTime(policy, "go", lambda: Chunks(3, delay=1), 3, 5.0)
    lanes = [_play.Lane(None, seed=i, observation=object()) for i in range(2)]
    first = actor.act(lanes)
    lanes[0].steps = 3
    second = actor.act(lanes)  # the second robot begins anew
    assert [one[:, 0].tolist() for one in first] == [[0, 1, 2], [0, 1, 2]]
    assert policy.asked == [None, None, [(1, [3, 4, 5, 6, 7])]]
    assert second[0][:, 0].tolist() == [3, 201, 202]
    assert second[1][:, 0].tolist() == [100, 101, 102]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inference_delay": 5}, "inference_delay is 5, more than action_steps"),
        ({"ensemble": "exponential"}, "ensembling needs a new chunk at every step"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        EvalConfig(policy="x", **settings)


def test_a_chunk_that_is_too_short_for_the_delay_is_told(tmp_path):
    folder = save_policy(tmp_path / "act", robots=("sawyer",), rates_hz=(20.0,))
    settings = {
        "tasks": ("window-open",),
        "episodes": 1,
        "processes": 1,
        "device": "cpu",
        "accept": ("range", "gripper"),
    }
    with pytest.raises(DataEngineError, match="need chunks of as many actions together, this policy's have 4"):
        run(EvalConfig(policy=str(folder), inference_delay=2, action_steps=3, out=tmp_path / "eval", **settings))
