"""Plays episodes: several robots step together, so that a policy is asked about all of them at once.

An actor gives each robot a chunk of actions; the robot executes the first few and the actor looks again. A robot
whose episode ended begins its next one at the next look.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.chunks import Chunks
from pipelines.evaluation.simulators._base import Observation, Simulator, action_dim, plays_to_end

if TYPE_CHECKING:
    from pipelines.evaluation.policy import ActPolicy


class Policy(Protocol):
    """What is evaluated: it sees what a robot sees, and nothing else."""

    def act_batch(self, observations: list[Observation], instructions: list[str]) -> NDArray[np.float32]:
        """Give the next h canonical actions (n, h, a) of n robots."""
        ...


@dataclass
class Lane:
    """One robot and the episode it is in."""

    simulator: Simulator
    seed: int = -1
    steps: int = 0
    solved_ever: bool = False
    observation: Observation | None = None
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    """Pictures of the episode, one at each look, when it is filmed."""
    rows: list[tuple[Observation, NDArray[np.float32]]] = field(default_factory=list)
    """What it saw and did at each control step, when it is recorded."""


@dataclass(frozen=True, kw_only=True)
class Played:
    """How one episode went."""

    seed: int
    success: bool
    """At any step, which ends the episode; at the last one, where the simulator plays to the end."""
    solved_ever: bool = False
    """At any step."""
    steps: int
    frames: Sequence[NDArray[np.uint8]]
    rows: Sequence[tuple[Observation, NDArray[np.float32]]] = ()
    """What it saw, and the canonical action (a,) that it executed, at each control step; none unless recorded."""
    lost: str = ""
    """What the simulator raised; the episode then says nothing about the policy."""


class Actor(Protocol):
    """Decides for several robots at once."""

    looks: bool
    """Whether it needs pictures; drawing them costs more than the simulation."""

    def act(self, lanes: Sequence[Lane]) -> Sequence[NDArray[np.float32]]:
        """Give each robot a chunk of canonical actions (h, a)."""
        ...


class Learned:
    """Asks a policy, which sees the robots' observations and is told what to do."""

    looks = True

    def __init__(self, policy: Policy, instruction: str) -> None:
        self._policy, self._instruction = policy, instruction

    def act(self, lanes: Sequence[Lane]) -> Sequence[NDArray[np.float32]]:
        """Ask once for all robots."""
        seen = [lane.observation for lane in lanes if lane.observation is not None]
        return list(self._policy.act_batch(seen, [self._instruction] * len(seen)))


class InRealTime:
    """Asks a policy, and plays chunks as they come: late, averaged, or each a continuation of the one before."""

    looks = True

    def __init__(
        self,
        policy: "ActPolicy",
        instruction: str,
        make: Callable[[], Chunks],
        execute: int,
        beta: float | None,
    ) -> None:
        """`beta` is how much a chunk bends to continue the one before; None where it knows nothing of that."""
        self._policy, self._instruction, self._make = policy, instruction, make
        self._execute, self._beta = execute, beta
        self._chunks: dict[int, Chunks] = {}

    def act(self, lanes: Sequence[Lane]) -> Sequence[NDArray[np.float32]]:
        """Ask for all robots that begin, and for all that go on, and give each what it executes until the next look."""
        mine = [self._of(lane) for lane in lanes]
        executing = [one.executing if self._beta is not None else None for one in mine]
        for group in (True, False):
            rows = [i for i, one in enumerate(executing) if (one is None) is group]
            seen = [observation for i in rows if (observation := lanes[i].observation) is not None]
            if not rows:
                continue
            continued = [one for i in rows if (one := executing[i]) is not None]
            texts = [self._instruction] * len(seen)
            prediction = self._policy.predict(seen, texts, continued or None, self._beta)
            for i, chunk in zip(rows, prediction.actions, strict=True):
                mine[i].take(chunk)
        return [np.stack([one.next() for _ in range(self._execute)]) for one in mine]

    def _of(self, lane: Lane) -> Chunks:
        if lane.steps == 0:
            self._chunks[id(lane)] = self._make()
        return self._chunks[id(lane)]


class Random:
    """Draws every action evenly from what the robot accepts: the floor of any comparison."""

    looks = False

    def act(self, lanes: Sequence[Lane]) -> Sequence[NDArray[np.float32]]:
        """Draw one action for each robot; equal seeds draw equal actions."""
        chunks = []
        for lane in lanes:
            random = np.random.default_rng((lane.seed, lane.steps))
            raw_action = random.uniform(-1.0, 1.0, action_dim(lane.simulator)).astype(np.float32)
            chunks.append(lane.simulator.to_canonical(raw_action)[None])
        return chunks


class Expert:
    """Asks the simulator's own scripted expert, which sees all: the ceiling."""

    looks = False

    def act(self, lanes: Sequence[Lane]) -> Sequence[NDArray[np.float32]]:
        """Ask for one action of each robot."""
        return [lane.simulator.to_canonical(lane.simulator.expert())[None] for lane in lanes]


class Replay:
    """Plays the mean demonstration with closed eyes: what a task yields to a policy that sees nothing."""

    looks = False

    def __init__(self, demonstrations: Sequence[NDArray[np.float32]]) -> None:
        self._mean = mean_demonstration(demonstrations)

    def act(self, lanes: Sequence[Lane]) -> Sequence[NDArray[np.float32]]:
        """Give every robot the next action; after the last one they stand still."""
        still = self._mean[-1].copy()
        still[:6] = 0.0
        return [
            self._mean[lane.steps : lane.steps + 1] if lane.steps < len(self._mean) else still[None] for lane in lanes
        ]


def mean_demonstration(demonstrations: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Average actions (t, a) step by step over the demonstrations that last that long, for their median length."""
    if not demonstrations:
        raise ValueError("replay needs demonstrations, found none")
    num_steps = int(np.median([len(one) for one in demonstrations]))
    means = [np.mean([one[i] for one in demonstrations if len(one) > i], axis=0) for i in range(num_steps)]
    return np.asarray(means, np.float32)


def play(
    simulators: Sequence[Simulator],
    actor: Actor,
    seeds: Sequence[int],
    *,
    execute: int,
    max_steps: int,
    num_filmed: int = 0,
    films_all: bool = False,
    records: bool = False,
    watch: Callable[[int], AbstractContextManager[None]] = lambda _seed: nullcontext(),
    make: Callable[[], Simulator] | None = None,
) -> Iterator[Played]:
    """Play one episode per seed and yield them as they end.

    The first `num_filmed` come with pictures, with `films_all` every one whose pictures were drawn anyhow; with
    `records` all come with what was seen and done, for which every step is drawn. `watch` is
    entered with the seed while a simulator works. What a simulator raises costs its episode; `make` gives another one
    in its stead.
    """
    waiting, filmed = deque(seeds), set(seeds[:num_filmed])
    free, busy = deque(Lane(simulator) for simulator in simulators), list[Lane]()
    while waiting or busy:
        lost: list[Played] = []
        while waiting and free:
            lane = free.popleft()
            lane.seed, lane.steps, lane.frames, lane.rows = waiting.popleft(), 0, [], []
            lane.solved_ever = False
            busy.append(lane)
        for lane in busy:
            try:
                with watch(lane.seed):
                    if lane.steps == 0:
                        lane.simulator.reset(lane.seed)
                    _look(lane, actor.looks, lane.seed in filmed, films_all)
            except Exception as error:
                lost.append(lost_episode(lane.seed, lane.steps, error))
        gone = {one.seed for one in lost}
        acting = [lane for lane in busy if lane.seed not in gone]
        ended = [lane for lane in busy if lane.seed in gone]
        yield from lost
        for lane, chunk in zip(acting, actor.act(acting) if acting else (), strict=True):
            if (played := _execute(lane, chunk[:execute], max_steps, lane.seed in filmed, records, watch)) is not None:
                ended.append(lane)
                gone |= {lane.seed} if played.lost else set()
                yield played
        for lane in ended:
            if lane.seed in gone and make is not None:
                lane.simulator = make()
        busy = [lane for lane in busy if lane not in ended]
        free.extend(ended)


def _execute(
    lane: Lane,
    actions: NDArray[np.float32],
    max_steps: int,
    filmed: bool,
    recorded: bool,
    watch: Callable[[int], AbstractContextManager[None]],
) -> Played | None:
    """Execute actions (k, a); say how the episode went where it came to its end."""
    raw_actions = [lane.simulator.to_raw(action) for action in actions]
    success, to_end = False, plays_to_end(type(lane.simulator))
    try:
        with watch(lane.seed):
            for action, raw_action in zip(actions, raw_actions, strict=True):
                if recorded:
                    lane.rows.append((lane.simulator.observe(), np.array(action, np.float32)))
                success = lane.simulator.step(raw_action)
                lane.steps += 1
                lane.solved_ever |= success
                if (success and not to_end) or lane.steps >= max_steps:
                    break
            else:
                return None
            _look(lane, False, filmed)
    except Exception as error:
        return lost_episode(lane.seed, lane.steps, error)
    return Played(
        seed=lane.seed,
        success=success,
        solved_ever=lane.solved_ever,
        steps=lane.steps,
        frames=lane.frames,
        rows=lane.rows,
    )


def lost_episode(seed: int, steps: int, error: Exception) -> Played:
    """Say of an episode what the simulator raised after so many control steps."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return Played(seed=seed, success=False, steps=steps, frames=(), lost=f"step {steps}: {reason}")


def _look(lane: Lane, needed: bool, filmed: bool, kept: bool = False) -> None:
    """Draw when somebody wants to see."""
    if needed or filmed:
        lane.observation = lane.simulator.observe()
        if filmed or kept:
            lane.frames.append(lane.observation.image)
