"""What answers requests, without a network between: a policy that training prepared for delays."""

import numpy as np
import pytest

from pipelines.serving.config import ServeConfig
from pipelines.serving.engine import PolicyEngine, group_of
from pipelines.serving.observation import flat
from tests.support.policies import save_policy
from tests.support.served import observation

LEFT = np.linspace(-0.02, 0.02, 28, dtype=np.float32).reshape(4, 7)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    policy = save_policy(tmp_path_factory.mktemp("prepared") / "act", max_inference_delay=2)
    return PolicyEngine(ServeConfig(policy=str(policy), device="cpu"))


def continuing(engine, delay, seed=5):
    rtc = {"inference_delay": delay, "prev_actions": LEFT}
    return engine.request(flat(observation(seed, rtc=rtc)), 0)


def test_a_chunk_begins_with_the_actions_that_go_on_where_training_prepared_for_it(engine):
    assert engine.metadata()["max_inference_delay"] == 2
    (plain,) = engine.answer([engine.request(flat(observation(5)), 0)])
    for replies in (engine.answer([continuing(engine, 2)]), engine.answer([continuing(engine, d) for d in (2, 0, 1)])):
        in_range = np.abs(replies[0].actions[:2] - LEFT[:2]) < 1e-6  # but where it is beyond the robot's usual range
        assert in_range.mean() > 0.8
        assert replies[0].delay == 2
        assert not np.allclose(replies[0].actions[2:], plain.actions[2:], atol=1e-6)


def test_a_longer_delay_is_guided_and_answered_apart_from_those_that_need_no_guidance(engine):
    prepared, longer = continuing(engine, 2), continuing(engine, 3)
    assert (prepared.guided, longer.guided) == (False, True)
    assert group_of(prepared) == group_of(continuing(engine, 0)) != group_of(longer)
    (guided,) = engine.answer([longer])
    (plain,) = engine.answer([engine.request(flat(observation(5)), 0)])
    distances = [np.abs(one.actions[:3, :6] - LEFT[:3, :6]).mean() for one in (guided, plain)]
    assert distances[0] < 0.5 * distances[1]
