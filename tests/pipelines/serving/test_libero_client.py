"""LIBERO's client against a real server: what it asks, what it makes of answers, and what ends an evaluation."""

import signal

import numpy as np
import pytest

from pipelines.evaluation.clients.libero import actors
from pipelines.evaluation.clients.libero.scene import View
from pipelines.evaluation.clients.openpi import RefusedError, RemotePolicy, ServerGoneError
from tests.support.policies import save_policy
from tests.support.served import Server, observation

pytestmark = pytest.mark.slow


class Task:
    instruction = "close the jar"


def view(seed: int = 0) -> View:
    draw = np.random.default_rng(seed)
    image, wrist = draw.integers(0, 255, (2, 64, 64, 3), np.uint8)
    return View(image, wrist, np.array([0.1, 0, 0.3]), np.array([3.0, 0.1, 0]), np.array([0.03, -0.03]), np.zeros(7))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = save_policy(tmp_path_factory.mktemp("policy"), robots=("franka",), rates_hz=(20.0,))
    with Server(folder) as running:
        yield running


@pytest.fixture
def policy(server):
    remote = RemotePolicy(f"ws://127.0.0.1:{server.port}")
    yield remote
    remote.close()


def test_canonical_answers_become_what_liberos_controller_takes(policy):
    actor = actors.Served(policy, action_steps=3)
    actor.begin(Task())
    actions = actor.act(view())
    seen = {
        "observation/image": view().image[::-1, ::-1],
        "observation/state": actors.canonical_state(view().state),
        "prompt": "close the jar",
    }
    canonical = policy.ask(seen)["actions"]
    assert actions == pytest.approx(actors.raw_action(canonical[:3].astype(np.float64)))


def test_pictures_that_are_blank_or_anothers_change_what_the_policy_says(policy):
    def first(**kwargs):
        actor = actors.Served(policy, action_steps=1, **kwargs)
        actor.begin(Task())
        return actor.act(view())

    others = (view(1).image, view(1).wrist)
    said = [first(), first(pictures="blank"), first(pictures="swapped", others=others)]
    assert not np.allclose(said[0], said[1])
    assert not np.allclose(said[0], said[2])
    assert np.allclose(said[0], first())


def test_a_refused_observation_is_one_line_and_the_next_is_answered(policy):
    with pytest.raises(RefusedError, match="has no instruction"):
        policy.ask(observation(prompt=None))
    assert policy.ask(observation())["actions"].shape == (4, 7)


def test_a_server_that_goes_is_named(tmp_path):
    with Server(save_policy(tmp_path / "policy", robots=("franka",))) as running:
        url = f"ws://127.0.0.1:{running.port}"
        remote = RemotePolicy(url)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
        with pytest.raises(ServerGoneError, match=f"{url}: the server went away"):
            remote.ask(observation())
    with pytest.raises(ServerGoneError, match="no policy there"):
        RemotePolicy(url)
