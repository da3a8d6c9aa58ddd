"""Commands of AgiBot World's proprio_stats.h5: laid on the steps of their index, told from copies of the state."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError

COPY_TOLERANCE = 1e-6
COPY_SHARE = 0.9
"""From this share of equal rows on, actions are taken for copies of the state."""


def all_of(
    arrays: Mapping[str, NDArray], effector: NDArray, soft: Mapping[str, NDArray], notes: dict[str, str]
) -> dict[str, NDArray]:
    """Collect the action of each part over all steps; parts without any are left out.

    Another number of rows than steps are commands at the steps of `index`; the state stands in between, and `effector`
    between those of effectors: which state a gripper's command would be is known only once its polarity is.
    """
    stand_in = {"joint": arrays["state/joint/position"], "effector": effector, **soft}
    stand_in["robot"] = np.zeros((len(effector), 2))
    commands, absent = {}, []
    for part, fill in stand_in.items():
        value = arrays.get(f"action/{part}/{'velocity' if part == 'robot' else 'position'}", np.empty(0))
        if value.size == 0 or value.shape[1:] != fill.shape[1:]:
            absent.append(part)
        else:
            commands[part] = placed(value, index_of(arrays, part, len(value)), fill, part, notes)
    if absent:
        notes["action_absent"] = " ".join(absent)
    return commands


def index_of(arrays: Mapping[str, NDArray], part: str, count: int) -> NDArray:
    """Return the steps at which `count` commands were sent; some parts have only the joints' index."""
    own, joints = (arrays.get(f"action/{name}/index", np.empty(0)).ravel() for name in (part, "joint"))
    return joints if not own.size or (len(own) != count and len(joints) == count) else own


def placed(value: NDArray, index: NDArray, fill: NDArray, part: str, notes: dict[str, str]) -> NDArray:
    """Lay commands on their steps; of several at one step the last counts. They need no index when all are there."""
    num_steps = len(fill)
    if len(value) == num_steps:
        return value
    if len(index) != len(value):
        raise RecordError(
            f"action/{part} has {len(value)} rows and {len(index)} indices for {num_steps} steps of state"
        )
    if broken := index[index != np.floor(index)].tolist():
        raise RecordError(f"action/{part}/index holds {broken[0]}, expected whole numbers")
    if not (index.min() >= 0 and index.max() < num_steps):
        raise RecordError(
            f"action/{part}/index runs from {index.min()} to {index.max()}, expected 0 to {num_steps - 1}"
        )
    values = np.array(fill, dtype=np.float64)
    values[index.astype(np.int64)] = value
    notes[f"action_{part}_placed"] = f"{len(value)} commands at {len(np.unique(index))} of {num_steps} steps"
    return values


def share_equal(command: NDArray, state: NDArray) -> float:
    """Share of the steps at which a command is the state itself; commands between those that were sent count too."""
    apart = np.abs(command - state).reshape(len(state), -1).max(axis=1)
    return float((apart < COPY_TOLERANCE).mean())


def next_state(values: NDArray) -> NDArray:
    """Shift by one step; the last repeats."""
    return np.concatenate([values[1:], values[-1:]])
