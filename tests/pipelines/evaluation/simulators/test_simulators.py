"""The simulated robots: their experts succeed, their seeds repeat, their units are the canonical ones."""

from functools import cache

import numpy as np
import pytest

from dataengine.errors import DataEngineError
from pipelines.evaluation.recording.attempt import attempt
from pipelines.evaluation.simulators import _base
from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM, Simulator, simulator_class
from tests.support.apart import apart

TASKS = ("metaworld/window-close", "fetch/pick-and-place")
of_every_robot = pytest.mark.parametrize("task", TASKS)


@cache
def make(task: str) -> Simulator:
    name, _, task = task.partition("/")
    return simulator_class(name)(task)


def run_expert(simulator: Simulator, seed: int) -> bool:
    simulator.reset(seed)
    return any(simulator.step(simulator.expert()) for _ in range(simulator.max_steps))


@of_every_robot
@apart
def test_the_expert_succeeds_on_starts_it_never_saw(task: str) -> None:
    simulator = make(task)
    assert all(run_expert(simulator, EVAL_SEEDS_FROM + i) for i in range(5))


@of_every_robot
@apart
def test_an_attempt_may_take_as_many_steps_as_the_evaluation_says(task: str) -> None:
    """Meta-World raised after 125, which `villa eval --max-steps 200` had as its end."""
    simulator = make(task)
    simulator.reset(0)
    still = np.zeros_like(simulator.expert())
    assert not any(simulator.step(still) for _ in range(130))


@of_every_robot
@apart
def test_a_seed_gives_the_same_scene_whatever_happened_before(task: str) -> None:
    simulator = make(task)
    simulator.reset(3)
    first = simulator.observe()
    for seed in (4, 5):
        run_expert(simulator, seed)
    simulator.reset(3)
    again = simulator.observe()
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.raw_state, again.raw_state)


@of_every_robot
@apart
def test_the_first_picture_shows_the_scene_that_the_robot_then_acts_in(task: str) -> None:
    simulator = make(task)
    simulator.reset(7)
    first = simulator.observe().image.astype(int)
    simulator.step(simulator.to_raw(np.array([0, 0, 0, 0, 0, 0, 0.5], np.float32)))
    then = simulator.observe().image.astype(int)
    assert np.mean(np.abs(first - then).max(axis=-1) > 40) < 0.01


@of_every_robot
@apart
def test_two_seeds_give_two_scenes(task: str) -> None:
    simulator = make(task)
    pictures = []
    for seed in (1, 2):
        simulator.reset(seed)
        pictures.append(simulator.observe().image.astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() > 50


@of_every_robot
@apart
def test_actions_survive_the_way_to_canonical_units_and_back(task: str) -> None:
    simulator = make(task)
    raw_action = np.array([0.5, -1.0, 0.25, -0.75], np.float32)
    np.testing.assert_allclose(simulator.to_raw(simulator.to_canonical(raw_action)), raw_action, atol=1e-6)


@of_every_robot
@apart
def test_one_canonical_metre_is_one_metre_of_the_commanded_way(task: str) -> None:
    """A robot asked for 2 cm a step for 10 steps has moved about 20 cm, less what it lags behind."""
    simulator = make(task)
    simulator.reset(0)
    before = simulator.observe().state
    action = np.zeros(7, np.float32)
    action[0] = -0.02
    for _ in range(10):
        simulator.step(simulator.to_raw(action))
    moved = simulator.observe().state[:3] - before[:3]
    assert -0.21 < moved[0] < -0.12
    assert np.abs(moved[1:]).max() < 0.03


@of_every_robot
@pytest.mark.parametrize("opening", [0.0, 1.0])
@apart
def test_a_gripper_asked_to_open_opens(task: str, opening: float) -> None:
    simulator = make(task)
    simulator.reset(0)
    for _ in range(12):
        simulator.step(simulator.to_raw(np.array([0, 0, 0, 0, 0, 0, opening], np.float32)))
    assert abs(simulator.observe().state[6] - opening) < 0.35


@of_every_robot
@apart
def test_a_recorded_attempt_keeps_the_clean_action(task: str) -> None:
    simulator = make(task)
    recorded = attempt(simulator, task.partition("/")[2], seed=0)
    assert recorded is not None
    assert len(recorded.raw_state) == len(recorded.raw_action) == len(recorded.images) == recorded.num_steps
    assert np.abs(recorded.raw_action).max() <= 1.0
    simulator.reset(0)
    np.testing.assert_array_equal(recorded.raw_action[0], simulator.expert())


@apart
def test_seeds_of_evaluations_cannot_be_recorded() -> None:
    with pytest.raises(ValueError, match="not for recording"):
        attempt(make(TASKS[0]), "window-close", seed=EVAL_SEEDS_FROM)


def test_an_unknown_task_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no task 'fly'; known: button-press"):
        simulator_class("metaworld")("fly")


def test_an_unknown_simulator_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        DataEngineError,
        match="no simulator 'gazebo'; known: fetch, lift, lift_kinova3, lift_ur5e, metaworld, simpler, two_arm",
    ):
        simulator_class("gazebo")


def test_a_machine_that_cannot_draw_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import mujoco

    def broken(*_: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'eglQueryString'")

    monkeypatch.setattr(mujoco, "Renderer", broken)
    _base.require_drawing.cache_clear()
    with pytest.raises(DataEngineError, match=r"apt-get install .* libegl1") as caught:
        _base.require_drawing()
    _base.require_drawing.cache_clear()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lift", "lift_ur5e", "lift_kinova3"])
@apart
def test_other_arms_lift_the_cube_and_a_seed_repeats(name: str) -> None:
    simulator = make(f"{name}/cube")
    pictures = []
    for _ in range(2):
        simulator.reset(3)
        seen = simulator.observe()
        pictures.append(seen)
        assert run_expert(simulator, 3)
    np.testing.assert_array_equal(pictures[0].image, pictures[1].image)
    then = simulator.observe()
    assert then.state[6] < 0.8, "it closed on the cube"
    assert then.state[2] < pictures[0].state[2]
    raw_action = np.array([0.5, -1.0, 0.25, 0.1, -0.2, 0.3, -0.75], np.float32)
    np.testing.assert_allclose(simulator.to_raw(simulator.to_canonical(raw_action)), raw_action, atol=1e-6)


@pytest.mark.slow
@apart
def test_two_arms_lift_the_pot_and_a_seed_repeats() -> None:
    simulator = make("two_arm/lift-pot")
    pictures = []
    for _ in range(2):
        simulator.reset(EVAL_SEEDS_FROM)
        pictures.append(simulator.observe())
        assert any(simulator.step(simulator.expert()) for _ in range(simulator.max_steps))
    np.testing.assert_array_equal(pictures[0].image, pictures[1].image)
    assert pictures[0].wrist is not None and pictures[0].wrist_2 is not None
    assert pictures[0].state.shape == (14,)
    assert pictures[0].state[1] > 0 > pictures[0].state[8], "the left arm comes first and stands at positive y"
