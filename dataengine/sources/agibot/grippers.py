"""Grippers of AgiBot World: millimetres and commands to 0 closed to 1 open.

gripper_polarity   The publisher's card calls the gripper's state an opening, users found it to be a closing. Both
                   grippers' correlation with the commanded closing decides, over the steps at which commands were sent.
                   Where they never move, or do not follow the command, it is a closing (`assumed`): so it was wherever
                   users could tell.
gripper_source     Commands that repeat the state give way to the next state.
"""

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.sources.agibot.commands import COPY_SHARE, next_state, share_equal

CLOSED_MM = 120.0
SLACK_MM = 3.0
"""Grippers are read this much beyond their range now and then."""
FARTHEST = 1.0
"""Readings and commands may lie this many ranges beyond their own and are clipped; farther out it is another unit."""
LEAST_MM = 1.0
"""Readings that never exceed this are told as doubtful: they may be shares of the range."""
STILL = 1e-6
"""Movement and command, root of their summed squares multiplied, below which there is none."""
MIN_CORRELATION = 0.2
"""Below this, grippers do not follow their command, and it says nothing about their polarity."""


def opening(effector_mm: NDArray, command: NDArray | None, notes: dict[str, str]) -> NDArray:
    """(n, 2) millimetres to 0 closed to 1 open, by the polarity that fits the commanded closing, NaN where none was."""
    low, high = _range_of(effector_mm, CLOSED_MM, "state/effector/position", "0 to 120 mm")
    if low < -SLACK_MM or high > CLOSED_MM + SLACK_MM:
        notes["gripper_clipped"] = f"{low:.1f} to {high:.1f} mm"
    if 0 < high <= LEAST_MM:
        notes["gripper_doubt"] = f"readings of {LEAST_MM:g} at most, taken for millimetres; are they shares of 120 mm?"
    closing = np.clip(effector_mm, 0.0, CLOSED_MM) / CLOSED_MM
    correlation = 0.0
    if command is not None:
        _range_of(command[np.isfinite(command)], 1.0, "action/effector/position", "0 open to 1 closed")
        correlation = _correlation(closing, command)
    polarity = "larger is open" if correlation < -MIN_CORRELATION else "larger is closed"
    assumed = " (assumed)" if abs(correlation) < MIN_CORRELATION else ""
    notes["gripper_polarity"] = f"{polarity}{assumed}"
    notes["gripper_correlation"] = f"{correlation:.3f}"
    return closing if polarity == "larger is open" else 1.0 - closing


def filled(command: NDArray, is_open: NDArray) -> NDArray:
    """Let the state stand in, as a closing, where no command was sent."""
    return np.where(np.isnan(command), 1.0 - is_open, command)


def wanted(is_open: NDArray, command: NDArray | None, notes: dict[str, str]) -> NDArray:
    """(n, 2) commanded opening; the next state where nothing was commanded or the command repeats the state."""
    if command is not None:
        asked = 1.0 - np.clip(command, 0.0, 1.0)
        if share_equal(asked, is_open) < COPY_SHARE:
            notes["gripper_source"] = "command"
            return asked
    notes["gripper_source"] = "next_state"
    return next_state(is_open)


def _range_of(values: NDArray, full: float, where: str, expected: str) -> tuple[float, float]:
    """Return the least and the largest value; raise RecordError when they are far beyond 0 to `full`."""
    low, high = float(values.min()), float(values.max())
    if low < -FARTHEST * full or high > (1 + FARTHEST) * full:
        raise RecordError(f"'{where}' runs from {low:g} to {high:g}, expected {expected}; in another unit?")
    return low, high


def _correlation(closing: NDArray, command: NDArray) -> float:
    """Correlate both grippers together; one that stays still, or is never commanded, has no say. 0 where none has."""
    sent = np.isfinite(command).all(axis=1)
    moved, asked = closing[sent] - closing[sent].mean(axis=0), command[sent] - command[sent].mean(axis=0)
    scale = np.sqrt(np.sum(moved**2) * np.sum(asked**2))
    return float(np.sum(moved * asked) / scale) if scale > STILL else 0.0
