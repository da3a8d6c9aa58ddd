"""SIMPLER's scripted expert on a kinematic table, starts for demonstrations, and both in the simulator."""

from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dataengine.errors import DataEngineError
from pipelines.evaluation.clients.simpler.expert import LOOKS_DOWN, Expert, View, find_grasp
from pipelines.evaluation.clients.simpler.jitter import MOVED_M, TURNED_RAD, jittered
from pipelines.evaluation.simpler.environment import NotReadyError, require
from pipelines.evaluation.simulators import _play
from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM, default_tasks, num_starts
from pipelines.evaluation.simulators.simpler import TASKS, Simpler

CORNERS = np.array(list(product((-1.0, 1.0), repeat=3)))
CARROT, PLATE = CORNERS * [0.06, 0.015, 0.02], CORNERS * [0.05, 0.05, 0.003]
"""Around their middles, metres."""


@dataclass
class Table:
    """A hand that follows late, a carrot that is held between closed fingers, and a plate; nothing has a mass."""

    carrot: NDArray[np.float64]
    """(3,) its middle"""
    yaw: float
    plate: NDArray[np.float64]
    slips: int = 0
    """How often the carrot falls out of the hand as it is lifted."""
    hand: NDArray[np.float64] = field(default_factory=lambda: np.array([0.29, 0.0, 0.13]))
    turn: Rotation = LOOKS_DOWN
    held: NDArray[np.float64] | None = None
    closed: bool = False
    taken_at: list[tuple[NDArray[np.float64], float]] = field(default_factory=list)
    """Of each time that the fingers held it: where along the carrot, and the angle between them and its narrow side."""

    def __post_init__(self) -> None:
        self.led_to = self.hand.copy()

    def view(self) -> View:
        lies = Rotation.from_euler("z", self.yaw)
        source = lies.apply(CARROT) + self.carrot
        grip = lies.apply([0.02, 0.0, 0.0]) + self.carrot
        return View(self.hand.copy(), self.led_to.copy(), self.turn, source, grip, PLATE + self.plate)

    def step(self, action: NDArray[np.float64]) -> None:
        self.led_to = self.led_to + action[:3]
        self.turn = Rotation.from_euler("XYZ", action[3:6]) * self.turn
        before, self.hand = self.hand, self.hand + 0.8 * (self.led_to - self.hand)
        if self.held is not None:
            self.carrot = self.carrot + self.hand - before
        if self.slips and self.held is not None and self.carrot[2] > 0.04:
            self.slips, self.held = self.slips - 1, None
            self.carrot = np.array([*self.carrot[:2] + 0.03, 0.02])
        closes = action[6] < 0
        if closes and not self.closed:
            self._take()
        if not closes and self.held is not None:
            self.held, self.carrot = None, np.array([*self.carrot[:2], 0.02 + 0.006 * self.is_on_plate()])
        self.closed = closes

    def _take(self) -> None:
        opening = self.turn.apply([0.0, 1.0, 0.0])
        away = Rotation.from_euler("z", -self.yaw).apply(self.hand - self.carrot)
        if np.abs(away[1]) < 0.005 and np.abs(away[0]) < 0.05 and away[2] < 0.02:
            narrow = np.array([-np.sin(self.yaw), np.cos(self.yaw), 0.0])
            self.held = away
            self.taken_at.append((away, float(np.degrees(np.arccos(min(1.0, abs(float(opening @ narrow))))))))

    def is_on_plate(self) -> bool:
        return bool(np.hypot(*(self.carrot - self.plate)[:2]) < 0.03)


def played(table: Table, num_steps: int = 60) -> list[str]:
    """The phases of an episode, in their order."""
    expert, phases = Expert(), list[str]()
    for _ in range(num_steps):
        action = expert.act(table.view())
        assert np.linalg.norm(action[:3]) <= 0.05, "no more than what BridgeData V2 calls a large step"
        table.step(action)
        if phases[-1:] != [expert.phase]:
            phases.append(expert.phase)
    return phases


@pytest.mark.parametrize("yaw", [0.0, 0.5, np.pi / 2, -2.0, np.pi])
def test_the_hand_turns_across_the_narrow_side_and_puts_the_object_on_the_other(yaw: float) -> None:
    table = Table(np.array([0.38, 0.1, 0.02]), yaw, np.array([0.23, -0.05, 0.003]))
    phases = played(table)
    assert phases == ["above", "descend", "close", "lift", "carry", "lower", "open", "leave", "rest"]
    assert table.is_on_plate()
    assert table.held is None
    [(away, degrees)] = table.taken_at
    assert degrees < 5
    assert away[0] == pytest.approx(0.02, abs=0.006), "where it is best taken, not in its middle"


def test_what_slips_out_of_the_hand_is_taken_again() -> None:
    table = Table(np.array([0.38, 0.1, 0.02]), 0.5, np.array([0.23, -0.05, 0.003]), slips=1)
    phases = played(table)
    assert phases.count("above") == 2
    assert len(table.taken_at) == 2
    assert table.is_on_plate()


def test_what_fits_between_no_fingers_is_refused() -> None:
    with pytest.raises(RuntimeError, match="the object is 60 mm wide"):
        find_grasp(CORNERS * 0.03, np.zeros(3))


def test_jittered_starts_are_near_the_benchmarks_and_belong_to_their_seed() -> None:
    positions = np.array([[[0.1, 0.2, 0.88], [-0.1, 0.2, 0.87]], [[-0.1, -0.2, 0.88], [0.1, 0.2, 0.87]]])
    turns = np.array(
        [[[0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]]
    )  # w first: half a turn about the vertical, and none
    draws = [jittered(seed, positions, turns) for seed in range(50)]
    for position, turn in draws:
        assert np.abs(positions - position).max(axis=(1, 2)).min() <= MOVED_M
        assert np.abs(positions - position).max(axis=(1, 2)).min() > 0, "none is a start of the benchmark"
        off = Rotation.from_quat(turn[:, [1, 2, 3, 0]]) * Rotation.from_euler("z", [[np.pi], [0.0]]).inv()
        assert np.abs(off.as_rotvec()[:, 2]).max() <= TURNED_RAD + 1e-9
        assert np.abs(off.as_rotvec()[:, :2]).max() < 1e-9
    assert len({position.tobytes() for position, _ in draws}) == 50
    np.testing.assert_equal(jittered(7, positions, turns), draws[7])


class Asked:
    """A simulator's process that answers alike and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []

    def ask(self, job: dict[str, object]) -> None:
        self.asked.append(job)

    def hear(self, *_: object) -> dict[str, object]:
        return {"event": "ended", "action": [0.01, 0.0, -0.02, 0.0, 0.0, 0.05, -1.0]}


def simulator(task: str) -> Simpler:
    made = object.__new__(Simpler)
    made.task, made._process = task, Asked()
    return made


def test_official_starts_are_24_and_jittered_ones_another_for_every_seed() -> None:
    official, beside = simulator("widowx_stack_cube"), simulator("widowx_stack_cube_jittered")
    for seed in (EVAL_SEEDS_FROM, EVAL_SEEDS_FROM + 25):
        official.reset(seed)
        beside.reset(seed)
    assert [job["start"] for job in official._process.asked] == [0, 1]
    assert [job["start"] for job in beside._process.asked] == [EVAL_SEEDS_FROM, EVAL_SEEDS_FROM + 25]
    assert [num_starts(Simpler, one.task) for one in (official, beside)] == [24, 0]
    assert default_tasks(Simpler) == tuple(TASKS), "the benchmark is what is played where no task is named"


def test_the_experts_metres_and_angles_come_as_shares_of_a_large_step() -> None:
    made = simulator("widowx_carrot_on_plate_jittered")
    np.testing.assert_allclose(made.expert(), [0.2, 0, -0.4, 0, 0, 0.2, -1], atol=1e-6)
    assert made.to_canonical(made.expert())[6] == 0.0


def test_a_task_without_an_expert_is_said() -> None:
    with pytest.raises(
        DataEngineError, match=r"no scripted expert for widowx_put_eggplant_in_basket, but for widowx_sp"
    ):
        simulator("widowx_put_eggplant_in_basket").expert()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["widowx_carrot_on_plate", "widowx_spoon_on_towel_jittered"])
def test_the_expert_solves_the_twin_itself(task: str) -> None:
    require.cache_clear()
    try:
        made = Simpler(task)
    except NotReadyError as error:
        pytest.skip(f"SIMPLER is not installed here: {error.details[0]}")
    episodes = list(_play.play([made], _play.Expert(), [EVAL_SEEDS_FROM, EVAL_SEEDS_FROM + 1], execute=1, max_steps=60))
    assert [(one.success, one.steps, one.lost) for one in episodes] == [(True, 60, "")] * 2
