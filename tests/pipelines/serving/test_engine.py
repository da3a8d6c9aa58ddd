"""What answers requests, without a network between: a policy that training prepared for delays."""

import numpy as np
import pytest

from dataengine.errors import DataEngineError
from pipelines.evaluation.clients.libero import actors
from pipelines.serving.config import ServeConfig
from pipelines.serving.convention import client_actions
from pipelines.serving.engine import PolicyEngine, group_of
from pipelines.serving.observation import flat
from pipelines.serving.vla_eval import hello
from pipelines.serving.wire import WireError
from tests.support.fitting import change
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


def test_half_the_precision_gives_nearly_the_same_actions_however_they_are_sampled(engine):
    half = PolicyEngine(ServeConfig(policy=engine._config.policy, device="cpu", precision="bf16"))
    about = engine.metadata()
    span = np.array(about["action_high"]) - np.array(about["action_low"])
    for delay in (None, 2, 3):  # none, prepared for, guided
        (exact,), (near,) = (
            one.answer([one.request(flat(observation(5)), 0) if delay is None else continuing(one, delay)])
            for one in (engine, half)
        )
        difference = np.abs(near.actions - exact.actions) / span
        assert 0 < difference.max() < 0.05, (delay, difference.max())
        assert near.actions.dtype == exact.actions.dtype == np.float32


@pytest.fixture(scope="module")
def as_libero(engine):
    policy = engine._config.policy
    return PolicyEngine(ServeConfig(policy=policy, device="cpu", convention="libero"))


LIBERO_STATE = np.array([0.1, 0.0, 0.3, 3.0, 0.1, 0.0, 0.03, -0.03], np.float32)


def test_a_server_that_speaks_as_libero_takes_its_states_and_gives_its_actions(engine, as_libero):
    seen = observation(5, **{"observation/state": LIBERO_STATE})
    request = as_libero.request(flat(seen), 0)
    canonical = actors.canonical_state(LIBERO_STATE)
    assert request.state == pytest.approx(canonical)
    (reply,) = as_libero.answer([request])
    (plain,) = engine.answer([engine.request(flat(observation(5, **{"observation/state": canonical})), 0)])
    assert reply.actions == pytest.approx(plain.actions), "what is recorded stays canonical"
    assert client_actions("libero", reply.actions) == pytest.approx(actors.raw_action(plain.actions.astype(float)))
    assert client_actions("canonical", reply.actions) is reply.actions


def test_clients_are_told_that_numbers_are_liberos(as_libero):
    metadata = as_libero.metadata()
    assert metadata["server"] == "villa-engine (libero)", "clients of ours convert nothing"
    assert metadata["state_dim"] == 8
    greeting = hello(metadata)
    formats = {name: one["format"] for name, one in greeting["action_spec"].items()}
    assert formats == {"position": "delta_xyz", "rotation": "axis_angle", "gripper": "binary_close_positive"}
    assert greeting["observation_spec"]["state"]["format"] == "eef_pos3_axisangle3_gripper2"


def test_canonical_numbers_are_refused_by_a_server_that_speaks_as_libero(as_libero):
    with pytest.raises(WireError, match="state has 7 values, expected 8 as LIBERO has"):
        as_libero.request(flat(observation(5)), 0)
    rtc = {"inference_delay": 1, "prev_actions": LEFT}
    with pytest.raises(WireError, match="'rtc' is of canonical actions"):
        as_libero.request(flat(observation(5, rtc=rtc)), 0)


def test_a_policy_of_joints_has_no_like_in_libero(tmp_path):
    policy = save_policy(tmp_path / "act")
    change(policy, "statistics", "arm7_jaw", "action", "encoding", to="joint_delta")
    with pytest.raises(DataEngineError, match="action_encoding joint_delta; --convention libero wants 7 numbers"):
        PolicyEngine(ServeConfig(policy=str(policy), device="cpu", convention="libero"))
