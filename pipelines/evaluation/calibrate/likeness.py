"""Recordings whose starts nobody noted: a simulator cannot repeat them, so what they have in common is compared.

Starts of a task differ by chance, and so do recordings and the simulator's expert. But another camera, a picture upside
down or swapped colours are in all of them, and how far a hand goes on an action tells another scale or rate.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dataengine.errors import DataEngineError
from dataengine.formats import jpeg
from dataengine.vector_layout import VectorLayout
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.window import EpisodeReader
from pipelines.evaluation.calibrate.config import RATE_TOLERANCE, Bounds
from pipelines.evaluation.calibrate.rollout import CAMERAS, Rollout, blocks
from pipelines.evaluation.simulators._base import Simulator, default_tasks

MOST_RECORDINGS = 24
"""Of a task; more make chance hardly smaller."""
BY_CHANCE = 2.0
"""Standard errors that means of starts may differ by."""
MOST_START = 0.05
"""Metres, radians, opening: so far may starts lie apart beyond chance."""
MOST_RESPONSE, MOST_GRIPPER_RESPONSE = 1.25, 2.0
"""Times as far, or as little, may a hand or a gripper go on the same action; experts jerk more and less."""
LEAST_COMMAND = 0.01
"""Mean square by which actions must lead a gripper, for its response to say anything."""


class Likeness(BaseModel):
    """How a simulator and recordings of one task compare."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    task: str
    recordings: int
    played: int
    """Episodes of the simulator's expert."""
    grey_levels: float
    """Between the mean first pictures, of the camera that differs most."""
    camera: str
    """That one."""
    start: float | None = None
    """Between the means of the values at starts that differ most: metres, radians, opening."""
    response: float | None = None
    """How far the hand goes on an action, simulator over recordings; None where that is not known."""
    gripper_response: float | None = None
    """The same of the gripper."""
    faults: list[str] = []


@dataclass(frozen=True)
class Recordings:
    """What a corpus has of a task."""

    control_hz: float
    rollouts: Sequence[Rollout]
    """With the first picture of each camera."""


def recordings(corpus: str, simulator: type[Simulator], tasks: Sequence[str] | None) -> Mapping[str, Recordings]:
    """Read, by task, what a robot was asked for in a simulator's words; raise DataEngineError where it was not."""
    from pipelines.training.data import open_reader

    reader, wanted = open_reader(corpus), {simulator.tasks[task]: task for task in tasks or default_tasks(simulator)}
    asked = [
        (episode, task)
        for episode in reader.episodes
        if episode.embodiment == simulator.embodiment
        and (task := next((wanted[text] for text in episode.instruction if text in wanted), None))
    ]
    datasets = Counter(episode.dataset for episode, _ in asked)
    if not datasets:
        robots = ", ".join(sorted({episode.embodiment for episode in reader.episodes})) or "none"
        raise DataEngineError(
            f"{corpus}: has no episodes in which {simulator.embodiment} was asked for {', '.join(wanted.values())} of "
            f"{simulator.name} (it has {robots}); record some with `villa eval {simulator.name} expert --record DIR`, "
            f"and ingest DIR"
        )
    # Others of the same robot may have other values, scales and rates.
    dataset = simulator.source if simulator.source in datasets else datasets.most_common(1)[0][0]
    by_task: dict[str, list[EpisodeInfo]] = {}
    for episode, task in asked:
        if episode.dataset == dataset and episode.num_steps > 1:
            by_task.setdefault(task, []).append(episode)
    return {
        task: Recordings(episodes[0].control_hz, [_rollout(reader, one, task) for one in episodes[:MOST_RECORDINGS]])
        for task, episodes in by_task.items()
    }


def _rollout(reader: EpisodeReader, episode: EpisodeInfo, task: str) -> Rollout:
    """Read an episode and the first pictures of its cameras."""
    state, action = reader.state(episode.row), reader.action(episode.row)
    if state is None or action is None:
        raise DataEngineError(f"{reader.identity.uri}: {episode.dataset} has no state or no action to compare")
    slots = [slot for slot in CAMERAS if slot in episode.cameras]
    first = {slot: next(iter(reader.jpegs(slot, [(episode.row, 0)]))) for slot in slots}
    looks = {slot: {0: blocks(jpeg.decode(bytes(frame)))} for slot, frame in first.items()}
    return Rollout(task=task, seed=-1, actions=action, states=state, looks=looks, success_step=-1)


def likeness(
    task: str, recorded: Recordings, played: Sequence[Rollout], simulator: type[Simulator], bounds: Bounds
) -> Likeness:
    """Compare recordings of a task with what the simulator's expert did."""
    both = (recorded.rollouts, played)
    chance = BY_CHANCE * np.sqrt(sum(1 / len(side) for side in both))
    grey, allowed, camera = max(_pictures(both, chance), default=(0.0, 0.0, ""), key=lambda one: one[0] - one[1])
    starts = [np.stack([one.states[0] for one in side]) for side in both]
    faults = []
    if abs(recorded.control_hz / simulator.control_hz - 1) > RATE_TOLERANCE:
        faults.append(f"recorded at {recorded.control_hz:g} Hz, {simulator.name} has {simulator.control_hz:g}")
    if missing := set(recorded.rollouts[0].looks) - set(played[0].looks):
        faults.append(f"the simulator has no camera {', '.join(sorted(missing))}")
    if grey > bounds.max_grey_levels + allowed:
        faults.append(
            f"first pictures of camera {camera} differ by {grey:.3g} grey levels on average, by chance "
            f"{bounds.max_grey_levels + allowed:.3g} at most{_turned(both, camera)}"
        )
    if starts[0].shape[1] != starts[1].shape[1]:
        faults.append(f"states have {starts[0].shape[1]} values, those of {simulator.name} {starts[1].shape[1]}")
        return _concluded(task, both, faults, grey=grey, camera=camera)
    gap = np.abs(starts[0].mean(axis=0) - starts[1].mean(axis=0))
    beyond = gap - chance * np.stack([one.states[0] for one in _scattered(both)]).std(axis=0)
    if beyond.max() > MOST_START:
        i = int(beyond.argmax())
        means = [side[:, i].mean() for side in starts]
        faults.append(f"value {i} of the state starts at {means[0]:.3g}, in {simulator.name} at {means[1]:.3g}")
    hand, gripper = (_ratio(*sides) for sides in zip(*(_responses(side, simulator) for side in both), strict=True))
    for what, ratio, most in (("hand", hand, MOST_RESPONSE), ("gripper", gripper, MOST_GRIPPER_RESPONSE)):
        if ratio is not None and not 1 / most <= ratio <= most:
            faults.append(
                f"the {what} goes {ratio:.2f} times as far on an action as in the recordings: another scale, rate or "
                f"sense of actions"
            )
    return _concluded(
        task, both, faults, grey=grey, camera=camera, start=float(gap.max()), response=hand, gripper_response=gripper
    )


def _concluded(
    task: str,
    both: tuple[Sequence[Rollout], Sequence[Rollout]],
    faults: Sequence[str],
    *,
    grey: float,
    camera: str,
    start: float | None = None,
    response: float | None = None,
    gripper_response: float | None = None,
) -> Likeness:
    return Likeness(
        task=task,
        recordings=len(both[0]),
        played=len(both[1]),
        grey_levels=grey,
        camera=camera,
        start=start,
        response=response,
        gripper_response=gripper_response,
        faults=[f"{task}: {fault}" for fault in faults],
    )


def _scattered(both: tuple[Sequence[Rollout], Sequence[Rollout]]) -> Sequence[Rollout]:
    """Give the side that says how far starts lie apart by chance: a single recording does not."""
    recorded, played = both
    return recorded if len(recorded) > 1 else played


def _first(side: Sequence[Rollout], camera: str) -> NDArray[np.float32]:
    return np.stack([one.looks[camera][0] for one in side if camera in one.looks])


def _pictures(both: tuple[Sequence[Rollout], Sequence[Rollout]], chance: float) -> Iterator[tuple[float, float, str]]:
    """Yield, by camera, how far mean first pictures lie apart, and how far they may by chance."""
    for camera in set(both[0][0].looks) & set(both[1][0].looks):
        recorded, played = (_first(side, camera) for side in both)
        scattered = _first(_scattered(both), camera)
        spread = float(np.abs(scattered - scattered.mean(axis=0)).mean())
        yield float(np.abs(recorded.mean(axis=0) - played.mean(axis=0)).mean()), chance * spread, camera


def _turned(both: tuple[Sequence[Rollout], Sequence[Rollout]], camera: str) -> str:
    """Say what would make pictures alike, where that is something simple."""
    recorded, played = (_first(side, camera).mean(axis=0) for side in both)
    changes = {
        "": played,
        "; upside down?": played[::-1],
        "; mirrored?": played[:, ::-1],
        "; turned by 180 degrees?": played[::-1, ::-1],
        "; red and blue swapped?": played[..., ::-1],
    }
    return min(changes, key=lambda what: float(np.abs(changes[what] - recorded).mean()))


def _responses(side: Sequence[Rollout], simulator: type[Simulator]) -> tuple[float, float]:
    """Say how far hand and gripper go, as shares of what an action asks for; NaN where that is not known."""
    pairs = [(one.states[:-1], np.diff(one.states, axis=0), one.actions[: len(one.states) - 1]) for one in side]
    state, change, action = (np.concatenate(parts).astype(np.float64) for parts in zip(*pairs, strict=True))
    seen = VectorLayout.of(getattr(simulator, "state_encoding", "eef_pose"), state.shape[1])
    asked = VectorLayout.of(getattr(simulator, "action_encoding", "eef_delta"), action.shape[1])
    hand = gripper = float("nan")
    if asked.encoding == "eef_delta" and asked.position and len(asked.position) == len(seen.position):
        moves = action[:, list(asked.position)]
        hand = _slope(moves, change[:, list(seen.position)], 1e-12)
    if asked.grippers and len(asked.grippers) == len(seen.grippers):
        ahead = action[:, list(asked.grippers)] - state[:, list(seen.grippers)]
        gripper = _slope(ahead, change[:, list(seen.grippers)], LEAST_COMMAND)
    return hand, gripper


def _slope(asked: NDArray[np.float64], change: NDArray[np.float64], least: float) -> float:
    power = float((asked**2).mean())
    return float((asked * change).mean()) / power if power > least else float("nan")


def _ratio(recorded: float, played: float) -> float | None:
    """Divide; None where one of them is not known."""
    known = np.isfinite(recorded) and np.isfinite(played) and abs(recorded) > 1e-6
    return played / recorded if known else None
