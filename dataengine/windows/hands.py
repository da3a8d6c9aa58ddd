"""Hands of people as a state and an action, for models that are to feel what people feel: 7 values for each side.

state    x y z roll pitch yaw of the wrist in the frame of that step's camera, opening of thumb and index finger
action   how the wrist moves to the next step, seen from the camera of this step but without the camera's own motion
         where its pose is known; opening at the next step

The frame lies in the camera and has x forward, y left, z up, as a robot's base has: a hand that points forward with its
palm down then has no rotation, far from where roll and yaw become one.

What is absent is NaN, and counts nowhere. Hands in the picture alone, boxes, and wrists without fingers give nothing.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

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

Vectors = tuple[NDArray[np.float32], NDArray[np.float32]]
"""State and action (t, 14) each, left before right."""


def vectors(hands: Hands) -> Vectors | None:
    """Give state and action of a person; None where their hands do not tell them."""
    is_in_world = hands.frame == "world"
    if hands.frame is None or (is_in_world and hands.camera is None):
        return None
    steps = hands.num_steps
    camera = np.tile(np.array([0, 0, 0, 0, 0, 0, 1.0]), (steps, 1))
    if is_in_world and hands.camera is not None:
        camera = hands.camera.astype(np.float64)
    found = [_of_side(hands, side, camera) for side in TWO]
    state, action = (np.concatenate(part, axis=1).astype(np.float32) for part in zip(*found, strict=True))
    return None if np.isnan(state).all() else (state, action)


def _of_side(hands: Hands, side: Side, camera: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give state and action (t, 7) of one side."""
    hand, steps = hands.sides.get(side), len(camera)
    nothing = np.full((steps, WIDTH), np.nan)
    if hand is None or hand.keypoints is None or hand.wrist is None:
        return nothing, nothing
    wrist = hand.wrist.astype(np.float64)
    back = FORWARD @ quaternion_to_matrix(camera[:, 3:]).swapaxes(1, 2)  # from the world
    turn = quaternion_to_matrix(wrist[:, 3:])
    opened = opening(hand.keypoints)[0][:, None]
    at = np.einsum("tij,tj->ti", back, wrist[:, :3] - camera[:, :3])
    state = np.concatenate([at, matrix_to_euler(back @ turn), opened], axis=1)
    state[np.isnan(state).any(axis=1)] = np.nan
    action = nothing.copy()
    if steps > 1:
        moved = np.einsum("tij,tj->ti", back[:-1], np.diff(wrist[:, :3], axis=0))
        turned = back[:-1] @ (turn[1:] @ turn[:-1].swapaxes(1, 2)) @ back[:-1].swapaxes(1, 2)
        action[:-1] = np.concatenate([moved, matrix_to_euler(turned), opened[1:]], axis=1)
    action[np.isnan(action).any(axis=1)] = np.nan
    return state, action


class HandStatistics:
    """Statistics of the hands of one embodiment, by dataset; sides are measured by themselves."""

    def __init__(self) -> None:
        self._seen: dict[str, list[Accumulator]] = {}
        self._episodes: dict[str, int] = {}

    def add(self, dataset: str, found: Vectors) -> None:
        """Take in an episode."""
        parts = self._seen.setdefault(dataset, [Accumulator.empty(WIDTH) for _ in range(4)])
        for part, values in zip(parts, (half for v in found for half in np.split(v, 2, axis=1)), strict=True):
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
        parts = [Accumulator.empty(WIDTH) for _ in range(4)]
        for name in names:
            for part, one in zip(parts, self._seen[name], strict=True):
                part.merge(one)
        return EmbodimentStatistics(
            state=replace(_joined(parts[:2]), moves=()),
            action=replace(_joined(parts[2:]), moves=tuple(i for i in range(2 * WIDTH) if i not in OPENINGS)),
            num_episodes=sum(self._episodes[name] for name in names),
            datasets=tuple(names),
        )


def _joined(sides: Iterable[Accumulator]) -> Statistics:
    """Put both sides into one vector; a side that was never seen is constant."""
    found = [side.statistics() if side.count else _nothing() for side in sides]
    return Statistics(
        count=max(one.count for one in found),
        mean=np.concatenate([one.mean for one in found]),
        std=np.concatenate([one.std for one in found]),
        min=np.concatenate([one.min for one in found]),
        max=np.concatenate([one.max for one in found]),
        q01=np.concatenate([one.q01 for one in found]),
        q99=np.concatenate([one.q99 for one in found]),
        grippers=OPENINGS,
        rank_error=max(one.rank_error for one in found),
    )


def _nothing() -> Statistics:
    zeros = np.zeros(WIDTH)
    return Statistics(count=0, mean=zeros, std=zeros, min=zeros, max=zeros, q01=zeros, q99=zeros)
