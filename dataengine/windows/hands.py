"""Hands of people as a state and an action, for models that are to feel what people feel: 7 values for each side.

state    x y z roll pitch yaw of the wrist in the frame of that step's camera, opening of thumb and index finger
action   how the wrist moves to the next step, seen from the camera of this step but without the camera's own motion
         where its pose is known; opening at the next step

The frame lies in the camera and has x forward, y left, z up, as a robot's base has: a hand that points forward with its
palm down then has no rotation, far from where roll and yaw become one.

What is absent is NaN, and counts nowhere: position, rotation and opening are each there or not. A fitted MANO without
its model tells no opening; its translation stands for the wrist's position, some 10 cm from it, which moves alike.
Hands in the picture alone and boxes give nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataengine.conventions import matrix_to_euler, quaternion_to_matrix
from dataengine.hands import Hands, Side
from dataengine.hands.geometry import opening
from dataengine.windows.stats import Accumulator, EmbodimentStatistics, Statistics

TWO: Final[tuple[Side, ...]] = ("left", "right")
FORWARD: Final = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""A camera's x right, y down, z forward to x forward, y left, z up."""
WIDTH: Final = 7
"""Values of one side, of which the last is the opening."""
OPENINGS: Final = (WIDTH - 1, 2 * WIDTH - 1)
PIECES: Final = (slice(0, 3), slice(3, 6), slice(6, 7))
"""Position, rotation and opening of one side: each known as a whole, or not at all."""
NEEDED: Final = (
    "hands with a wrist in metres before a known camera, expected some of EgoDex, HoloAssist, HOI4D or HO-Cap's view "
    "from the head"
)
"""Completes `found no ...`."""

Vectors = tuple[NDArray[np.float32], NDArray[np.float32]]
"""State and action (t, 14) each, left before right."""


def _none(_rows: Sequence[int]) -> Mapping[int, Vectors]:
    return {}


@dataclass(frozen=True)
class Felt:
    """What people felt in the episodes of a reader, read when it is wanted."""

    telling: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """(e,) True for rows of episodes whose hands tell something; empty where none do."""
    read: Callable[[Sequence[int]], Mapping[int, Vectors]] = _none
    """Gives what some of these felt, in one go."""
    statistics: Mapping[str, EmbodimentStatistics] = field(default_factory=dict)
    """By embodiment."""

    @property
    def is_any(self) -> bool:
        """Say whether anybody felt anything."""
        return bool(self.telling.any())

    def any_of(self, rows: NDArray[Any]) -> bool:
        """Say whether anybody did in some episodes."""
        return bool(len(self.telling)) and bool(self.telling[rows].any())

    def fetch(self, rows: Sequence[int]) -> None:
        """Get ready what the next windows need."""
        if len(self.telling) and (telling := [row for row in rows if self.telling[row]]):
            self.read(telling)

    def vectors(self, row: int) -> Vectors | None:
        """Give state and action of one episode; None where hands do not tell them."""
        return self.read([row])[row] if len(self.telling) and self.telling[row] else None


def vectors(hands: Hands) -> Vectors | None:
    """Give state and action of a person; None where their hands do not tell them."""
    is_in_world = hands.frame == "world"
    if hands.frame is None or (is_in_world and hands.camera is None):
        return None
    steps = hands.num_steps
    camera = np.tile(np.array([0, 0, 0, 0, 0, 0, 1.0]), (steps, 1))
    if is_in_world and hands.camera is not None:
        camera = hands.camera.astype(np.float64)
    sides = [_of_side(hands, side, camera) for side in TWO]
    state, action = (np.concatenate(part, axis=1).astype(np.float32) for part in zip(*sides, strict=True))
    return None if np.isnan(state).all() else (state, action)


def _of_side(hands: Hands, side: Side, camera: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give state and action (t, 7) of one side."""
    hand, steps = hands.sides.get(side), len(camera)
    nothing = np.full((steps, WIDTH), np.nan)
    if hand is None or hand.wrist is None:
        return nothing, nothing
    wrist = hand.wrist.astype(np.float64)
    back = FORWARD @ quaternion_to_matrix(camera[:, 3:]).swapaxes(1, 2)  # from the world
    turn = quaternion_to_matrix(wrist[:, 3:])
    opened = np.full((steps, 1), np.nan) if hand.keypoints is None else opening(hand.keypoints)[0][:, None]
    at = np.einsum("tij,tj->ti", back, wrist[:, :3] - camera[:, :3])
    state = np.concatenate([at, matrix_to_euler(back @ turn), opened], axis=1)
    action = nothing.copy()
    if steps > 1:
        moved = np.einsum("tij,tj->ti", back[:-1], np.diff(wrist[:, :3], axis=0))
        turned = back[:-1] @ (turn[1:] @ turn[:-1].swapaxes(1, 2)) @ back[:-1].swapaxes(1, 2)
        action[:-1] = np.concatenate([moved, matrix_to_euler(turned), opened[1:]], axis=1)
    return _whole(state), _whole(action)


def _whole(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave out (t, 7) pieces of which a number is not known, and fingers of a hand that is nowhere."""
    for piece in PIECES:
        values[np.isnan(values[:, piece]).any(axis=1), piece] = np.nan
    values[np.isnan(values[:, PIECES[0]]).any(axis=1)] = np.nan
    return values


class HandStatistics:
    """Statistics of the hands of one embodiment, by dataset; sides and their pieces are measured by themselves."""

    def __init__(self) -> None:
        self._seen: dict[str, list[Accumulator]] = {}
        self._episodes: dict[str, int] = {}

    def add(self, dataset: str, seen: Vectors) -> None:
        """Take in an episode."""
        parts = self._seen.setdefault(dataset, _empty())
        halves = (half for v in seen for half in np.split(v, 2, axis=1))
        for part, values in zip(parts, (half[:, piece] for half in halves for piece in PIECES), strict=True):
            part.add(values[np.isfinite(values).all(axis=1)])
        self._episodes[dataset] = self._episodes.get(dataset, 0) + 1

    def statistics(self) -> EmbodimentStatistics | None:
        """Give what was seen, of all datasets and of each; None for nothing."""
        if not self._seen:
            return None
        by_dataset = {name: self._of([name]) for name in sorted(self._seen)}
        return replace(self._of(sorted(self._seen)), by_dataset=by_dataset)

    def _of(self, datasets: Iterable[str]) -> EmbodimentStatistics:
        names = list(datasets)
        parts = _empty()
        for name in names:
            for part, one in zip(parts, self._seen[name], strict=True):
                part.merge(one)
        middle = len(parts) // 2
        return EmbodimentStatistics(
            state=replace(_joined(parts[:middle]), moves=()),
            action=replace(_joined(parts[middle:]), moves=tuple(i for i in range(2 * WIDTH) if i not in OPENINGS)),
            num_episodes=sum(self._episodes[name] for name in names),
            datasets=tuple(names),
        )


def _empty() -> list[Accumulator]:
    """Make an accumulator for each piece of each side, of states and then of actions."""
    return [Accumulator.empty(piece.stop - piece.start) for _ in range(4) for piece in PIECES]


def _joined(parts: Iterable[Accumulator]) -> Statistics:
    """Put pieces into one vector; one that was never seen is constant."""
    statistics = [part.statistics() if part.count else _nothing(part.dim) for part in parts]
    return Statistics(
        count=max(one.count for one in statistics),
        mean=np.concatenate([one.mean for one in statistics]),
        std=np.concatenate([one.std for one in statistics]),
        min=np.concatenate([one.min for one in statistics]),
        max=np.concatenate([one.max for one in statistics]),
        q01=np.concatenate([one.q01 for one in statistics]),
        q99=np.concatenate([one.q99 for one in statistics]),
        grippers=OPENINGS,
        rank_error=max(one.rank_error for one in statistics),
    )


def _nothing(dim: int) -> Statistics:
    zeros = np.zeros(dim)
    return Statistics(count=0, mean=zeros, std=zeros, min=zeros, max=zeros, q01=zeros, q99=zeros)
