"""Closed-loop evaluation: what is counted, what is asked of a policy, and what is kept."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from dataengine.errors import DataEngineError
from pipelines.evaluation.config import EvalConfig
from pipelines.evaluation.evaluate import run
from pipelines.evaluation.results import wilson
from pipelines.evaluation.simulators import _play
from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM, Observation, default_tasks, simulator_class
from pipelines.evaluation.unit import make_unit


class Line:
    """A toy robot on a line: it must come within 0.05 of 1, and starts at a tenth of its seed."""

    def __init__(self) -> None:
        self.x, self.num_looks, self.seeds = 0.0, 0, list[int]()

    def reset(self, seed: int) -> None:
        self.x = seed / 10
        self.seeds.append(seed)

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        self.x += float(raw_action[0])
        return abs(self.x - 1.0) < 0.05

    def observe(self) -> Observation:
        self.num_looks += 1
        state = np.array([self.x], np.float32)
        image = np.full((2, 2, 3), 100 * self.x, np.uint8)
        return Observation(image=image, raw_state=state, state=state, embodiment="line", control_hz=1.0)

    def expert(self) -> NDArray[np.float32]:
        return np.array([0.1], np.float32)

    def to_raw(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        return action

    to_canonical = to_raw


class Forward:
    """A policy that goes on by 0.1 a step and notes how often it is asked about how many robots."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []
        self.instructions: set[str] = set()

    def act_batch(self, observations: list[Observation], instructions: list[str]) -> NDArray[np.float32]:
        self.asked.append(tuple(round(float(o.state[0]) * 10) for o in observations))
        self.instructions |= set(instructions)
        return np.full((len(observations), 8, 1), 0.1, np.float32)


def play(seeds: Sequence[int], num_robots: int = 2, max_steps: int = 20, num_filmed: int = 0):
    robots, policy = [Line() for _ in range(num_robots)], Forward()
    actor = _play.Learned(policy, "go to one")
    played = list(
        _play.play(robots, actor, seeds, execute=4, max_steps=max_steps, num_filmed=num_filmed)  # type: ignore[arg-type]
    )
    return robots, policy, played


def test_a_policy_is_asked_for_all_robots_at_once_and_looks_again_after_four_actions() -> None:
    _, policy, played = play([0, 1])
    assert policy.asked == [(0, 1), (4, 5), (8, 9)]
    assert policy.instructions == {"go to one"}
    assert [(p.seed, p.success, p.steps) for p in sorted(played, key=lambda p: p.seed)] == [(0, True, 10), (1, True, 9)]


def test_a_robot_that_is_done_begins_the_next_start_while_others_go_on() -> None:
    robots, policy, played = play([0, 8, 7])
    assert policy.asked == [(0, 8), (4, 7), (8,)]
    assert {p.seed for p in played} == {0, 8, 7}
    assert [r.seeds for r in robots] == [[0], [8, 7]]


def test_an_episode_that_takes_too_long_has_failed() -> None:
    _, _, played = play([0, 5], max_steps=6)
    assert {p.seed: (p.success, p.steps) for p in played} == {5: (True, 5), 0: (False, 6)}


def test_each_start_is_played_exactly_once_however_many_robots_there_are() -> None:
    for num_robots in (1, 3, 10):
        _, _, played = play(range(9), num_robots)
        assert sorted(p.seed for p in played) == list(range(9))


def test_films_hold_every_look_and_the_end() -> None:
    _, _, played = play([0, 1], num_filmed=1)
    film = next(p for p in played if p.seed == 0).frames
    assert [int(f[0, 0, 0]) for f in film] == [0, 40, 80, 100]
    assert next(p for p in played if p.seed == 1).frames == []


def test_baselines_draw_no_pictures() -> None:
    robots = [Line()]
    list(_play.play(robots, _play.Expert(), [0], execute=4, max_steps=20))  # type: ignore[arg-type]
    assert robots[0].num_looks == 0
    assert robots[0].x == pytest.approx(1.0)


def test_a_random_policy_repeats_with_its_seed_and_differs_between_seeds() -> None:
    def draw(seed: int) -> NDArray[np.float32]:
        lane = _play.Lane(Line(), seed=seed, steps=3)  # type: ignore[arg-type]
        return _play.Random().act([lane])[0]

    assert draw(5) == draw(5)
    assert draw(5) != draw(6)


def test_the_mean_demonstration_averages_those_that_last_and_is_as_long_as_the_median() -> None:
    demonstrations = [np.full((n, 1), v, np.float32) for n, v in ((2, 1.0), (3, 2.0), (5, 6.0))]
    np.testing.assert_allclose(_play.mean_demonstration(demonstrations)[:, 0], [3.0, 3.0, 4.0])


def test_replay_stands_still_when_the_demonstration_is_over() -> None:
    replay = _play.Replay([np.full((3, 7), 0.5, np.float32)])
    chunks = replay.act([_play.Lane(Line(), steps=2), _play.Lane(Line(), steps=3)])  # type: ignore[arg-type]
    np.testing.assert_array_equal(chunks[0][0], np.full(7, 0.5))
    np.testing.assert_array_equal(chunks[1][0], [0, 0, 0, 0, 0, 0, 0.5])


@pytest.mark.parametrize(("successes", "episodes"), [(0, 20), (1, 20), (10, 20), (19, 20), (20, 20), (59, 60), (1, 1)])
def test_the_interval_is_wilsons(successes: int, episodes: int) -> None:
    expected = binomtest(successes, episodes).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(successes, episodes), (expected.low, expected.high), atol=1e-9)


def test_no_episodes_bound_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": "expert", "tasks": ("fly",)}, "metaworld has no task 'fly'"),
        ({"policy": "expert", "simulator": "gazebo"}, "no simulator 'gazebo'"),
        ({"policy": "replay"}, "replay needs demonstrations"),
        ({"policy": "nowhere/act"}, "nowhere/act: no such folder"),
        ({"policy": "expert", "instruction_override": {"window-open": "fly"}}, "no task 'fly'"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(settings: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataEngineError, match=message) as caught:
        run(EvalConfig(**settings, out=tmp_path))
    assert "\n" not in str(caught.value)


def test_the_expert_solves_unseen_starts_a_random_policy_none_and_both_are_kept(tmp_path: Path) -> None:
    reports = {
        name: run(
            EvalConfig(policy=name, tasks=("window-close",), episodes=4, out=tmp_path, processes=1, num_filmstrips=1)
        )
        for name in ("expert", "random")
    }
    assert (reports["expert"].successes, reports["random"].successes) == (4, 0)
    won = reports["expert"].results[0]
    assert won.instruction == "slide the window shut"
    assert 10 < won.mean_steps < 40
    strip = tmp_path / won.filmstrips[0].image
    assert strip.read_bytes()[:2] == b"\xff\xd8"
    assert won.filmstrips[0].seed == EVAL_SEEDS_FROM
    assert reports["random"].results[0].failed_seeds == [EVAL_SEEDS_FROM + i for i in range(4)]

    path = next((tmp_path / "results").glob("expert-window-close-*.json"))
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"seconds": 12345.0}))
    again = run(
        EvalConfig(policy="expert", tasks=("window-close",), episodes=4, out=tmp_path, processes=1, num_filmstrips=1)
    )
    assert again.results[0].seconds == 12345.0, "a finished result is read, not played again"


def test_where_no_task_is_named_the_simulators_own_are_played() -> None:
    assert default_tasks(simulator_class("metaworld")) == ("button-press-topdown", "window-close", "window-open")
    assert default_tasks(simulator_class("lift")) == ("cube",)
    assert EvalConfig(policy="random").tasks is None


def test_a_device_that_is_not_there_is_said_before_anything_is_played(tmp_path: Path) -> None:
    (tmp_path / "act").mkdir()
    with pytest.raises(DataEngineError, match=r"device 'cuda:99': torch finds \d+ devices of this kind here"):
        run(EvalConfig(policy=str(tmp_path / "act"), device="cuda:99", out=tmp_path / "eval"))


def test_a_policy_trained_further_is_evaluated_anew(tmp_path: Path) -> None:
    folder = tmp_path / "act"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"1")
    config = EvalConfig(policy=str(folder), out=tmp_path)
    before = make_unit(config, "window-open").result_file
    assert before == make_unit(config, "window-open").result_file
    (folder / "eval").mkdir()
    (folder / "eval" / "result.json").write_text("kept below the policy, it makes no other policy of it")
    assert before == make_unit(config, "window-open").result_file
    other = config.model_copy(update={"acts_as": "lab/mine"})
    assert before != make_unit(other, "window-open").result_file
    (folder / "checkpoints" / "step-00000001").mkdir(parents=True)
    (folder / "checkpoints" / "step-00000001" / "model.safetensors").write_bytes(b"1")
    further = make_unit(config, "window-open").result_file
    assert before != further
    (folder / "model.safetensors").write_bytes(b"12")
    assert further != make_unit(config, "window-open").result_file
    assert before != make_unit(config, "window-open").result_file


def test_a_policy_may_be_called_anything(tmp_path: Path) -> None:
    config = EvalConfig(policy="random", name="runs/act: best, so far", out=tmp_path)
    assert make_unit(config, "window-open").result_file.parent == tmp_path / "results"
