"""How the stages that check cameras look at an episode: a fixed cost, however long it is."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataengine.curation.film import Film
from dataengine.curation.stage import Measured, Quality
from dataengine.curation.stages import _spread
from dataengine.episode import CAMERA_SLOTS

NUM_SAMPLES = 12
"""Pictures of the main camera looked at, evenly spaced over the episode."""
OTHER_SAMPLES = 6
"""Pictures looked at of each other camera: enough to tell whether it works at all."""
CELLS = 16
"""Cells along a side that a picture is averaged to: noise disappears, a small thing that moves does not."""
REPORTED_SHARE = 0.1
"""Share of a dataset's episodes from which on a camera that fails in them is reported."""
OTHER_SLOTS = CAMERA_SLOTS[1:]
"""Where a camera can be that is not the main one."""

Look = Callable[[NDArray[np.float32]], float]
"""Turns cells (n, side, side) of a camera's pictures into a number; NaN where they say nothing."""
Fails = Callable[[ArrayLike], NDArray[np.bool_]]
"""Tells by such numbers which cameras do not work; False for NaN."""


def columns(name: str) -> tuple[str, ...]:
    """Name the column of the main camera, and one for each slot of the others."""
    return (name, *(f"{name}_{slot}" for slot in OTHER_SLOTS))


def look(film: Film, name: str, measure: Look) -> dict[str, float]:
    """Measure every camera; NaN for slots that have none, or that the main camera has."""
    values = dict.fromkeys(columns(name), np.nan)
    values[name] = measure(film.cells(film.evenly(NUM_SAMPLES), CELLS))
    for slot, other in film.others.items():
        values[f"{name}_{slot}"] = measure(other.cells(other.evenly(OTHER_SAMPLES), CELLS))
    return values


def dead_in(quality: Quality, name: str, fails: Fails, what: str) -> str | None:
    """Tell of cameras beside the main one that fail in one episode."""
    slots = [slot for slot in OTHER_SLOTS if fails(quality[f"{name}_{slot}"]).any()]
    return ", ".join(f"camera {slot} {what}" for slot in slots) or None


def dead(episodes: Measured, name: str, fails: Fails, what: str) -> list[str]:
    """Tell of cameras beside the main one that fail in many episodes of a embodiment in a dataset."""
    notes = []
    for slot in OTHER_SLOTS:
        for group in _spread.groups(episodes, _spread.numbers(episodes, f"{name}_{slot}")):
            dead_ones = group.rows[fails(group.values[:, 0])]
            count, of = len(dead_ones), len(group.rows)
            if count >= REPORTED_SHARE * of:
                first = min(dead_ones.tolist(), key=lambda row: episodes.episode_ids[row])
                camera = episodes.camera(first, slot)
                notes.append(f"camera {camera} of {group.name} {what} in {count} of {of} episodes")
    return notes
