"""The robot's numbers of an RH20T scene: three files of `transformed/`, each a pickled dict by camera serial.

tcp_base.npy   {serial: [{"timestamp": ms, "tcp": (7,), "robot_ft": (6,)}]}   metres and quaternion wxyz, in the base
gripper.npy    {serial: {ms: {"gripper_info": [mm, ...], "gripper_command": [mm, ...]}}}
joint.npy      {serial: {ms: vector}}   radians: 7 positions and 7 velocities (cfg 1, 2, 5), 6 (3, 4), 7 (6, 7)

All cameras look at one robot: entries of all serials are put on one time line, and the one nearest to a frame counts.
What stands behind the width in the lists of the gripper differs by its make and is left out.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.formats import npy
from dataengine.sources import _poses
from dataengine.sources.rh20t import times as rh20t_times
from dataengine.sources.rh20t.scenes import Scene

OPEN_MM = 110.0
"""Width that counts as open for all four grippers, as the publisher's group scales it; some open to 85 only."""
SLACK_MM = 10.0
"""A width this far outside of 0 to 110 is taken for the nearer end; farther out it is in another unit."""
OPEN_M = OPEN_MM / 1000
"""Widths that never exceed this are told as doubtful: a gripper that stays closed, or metres."""
APART_M, APART_MM = 0.05, 10.0
"""Positions and widths of one millisecond may be this far apart; farther, they contradict each other."""


@dataclass(frozen=True)
class TimedNumbers:
    """Numbers with their times, in order of time, no time twice."""

    stamps_ms: NDArray[np.int64]
    """(n,) since the epoch."""
    values: NDArray[np.float64]
    """(n, w)"""

    def at(self, stamps_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (t, w): for each of (t,) times the row nearest to it."""
        return self.values[nearest(self.stamps_ms, stamps_ms)]

    def apart_ms(self, stamps_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each of (t,) times how far the nearest row is."""
        return np.abs(self.stamps_ms[nearest(self.stamps_ms, stamps_ms)] - stamps_ms)


@dataclass(frozen=True)
class RobotNumbers:
    """All that one scene says of its robot."""

    pose: TimedNumbers
    """(n, 7) x y z, quaternion wxyz."""
    width_mm: TimedNumbers
    """(n, 2) measured, commanded."""
    joints: TimedNumbers | None
    """None where joint.npy, an archive of its own, is not there or cannot be read."""
    joints_lost: str = ""
    """Why it cannot be read: joints are only kept raw, and cost no scene."""


def read(scene: Scene) -> RobotNumbers:
    """Read the three files; raise RecordError where poses or widths cannot be made sense of."""
    pose = _track(scene, "tcp_base.npy", _pose, APART_M)
    width = _track(scene, "gripper.npy", _widths, APART_MM)
    if pose is None or width is None:
        raise RecordError(f"transformed/{'gripper' if pose else 'tcp_base'}.npy is missing; extract the LowDim archive")
    if pose.values.shape[1:] != (7,):
        raise RecordError(f"tcp_base.npy: 'tcp' has shape {pose.values.shape[1:]}, expected (7,)")
    try:
        return RobotNumbers(pose, width, _track(scene, "joint.npy", lambda entries: list(entries.items()), math.inf))
    except RecordError as error:
        return RobotNumbers(pose, width, None, str(error))


def nearest(sorted_ms: NDArray[np.int64], stamps_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each of (t,) times the index of the nearest of (n,) sorted times; ties go to the earlier one."""
    right = np.clip(np.searchsorted(sorted_ms, stamps_ms), 1, max(len(sorted_ms) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(sorted_ms) - 1)
    return np.where(np.abs(sorted_ms[right] - stamps_ms) < np.abs(stamps_ms - sorted_ms[left]), right, left)


def canonical(pose: NDArray[np.float64], width_mm: NDArray[np.float64]) -> tuple[NDArray, NDArray, dict[str, str]]:
    """State and action, both (t, 7) x y z roll pitch yaw gripper, and notes on them.

    The action is what the next row reached, with the width commanded there; the last row repeats.
    """
    least, most = float(np.min(width_mm)), float(np.max(width_mm))
    if least < -SLACK_MM or most > OPEN_MM + SLACK_MM:
        raise RecordError(
            f"gripper.npy: widths from {least:.0f} to {most:.0f}, expected 0 to {OPEN_MM:.0f} mm; in another unit?"
        )
    notes = {"gripper_open_mm": f"{OPEN_MM:.0f} (assumed for all grippers)"}
    if 0 < most <= OPEN_M:
        notes["gripper_doubt"] = f"widths of {OPEN_M:g} at most, taken for millimetres; are they metres?"
    opening = np.clip(width_mm, 0.0, OPEN_MM) / OPEN_MM
    hand = _poses.canonical(pose[:, :3], pose[:, [4, 5, 6, 3]], "tcp_base.npy: position", "tcp_base.npy: quaternion")
    state = np.column_stack([hand, opening[:, 0]])
    action = np.column_stack([hand, opening[:, 1]])
    if num_clipped := int(((width_mm < 0.0) | (width_mm > OPEN_MM)).any(axis=1).sum()):
        notes["gripper_clipped"] = f"{num_clipped} steps outside of 0 to {OPEN_MM:.0f} mm"
    return state, np.concatenate([action[1:], action[-1:]]), notes


def _pose(entries: Any) -> list[tuple[int, Any]]:
    return [(entry["timestamp"], entry["tcp"]) for entry in entries]


def _widths(entries: Any) -> list[tuple[int, Any]]:
    """Widths of the entries that have both; a gripper that was not answering leaves an empty list."""
    widths = []
    for stamp, entry in entries.items():
        both = [entry.get(key) for key in ("gripper_info", "gripper_command")]
        if all(values is not None and len(values) for values in both):
            widths.append((stamp, [values[0] for values in both]))
    return widths


def _track(
    scene: Scene, name: str, entries: Callable[[Any], Iterable[tuple[int, Any]]], apart: float
) -> TimedNumbers | None:
    """Put the entries of all cameras on one time line; at equal times the first camera's counts.

    Raise RecordError where the first three numbers of two entries at one time differ by more than `apart`.
    """
    path = scene.file(f"transformed/{name}")
    if path is None:
        return None
    content = npy.read(path)
    if not isinstance(content, dict):
        raise RecordError(f"{name}: found {type(content).__name__}, expected a dict by camera serial")
    stamps: list[int] = []
    values: list[Any] = []
    for serial in sorted(content, key=str):
        try:
            for stamp, value in entries(content[serial]):
                stamps.append(int(stamp))
                values.append(value)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise RecordError(f"{name}: entries of camera '{serial}' are not as expected ({reason})") from error
    if not stamps:
        raise RecordError(f"{name}: holds no entries")
    try:
        table = np.array(values, dtype=np.float64)
        times, first, inverse = np.unique(np.array(stamps, dtype=np.int64), return_index=True, return_inverse=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordError(f"{name}: entries are not numbers of one width ({error})") from error
    rh20t_times.check(times, f"{name}: a time")
    if table.ndim != 2:
        raise RecordError(f"{name}: entries have shape {table.shape[1:]}, expected one row of numbers each")
    differ = np.flatnonzero((np.abs(table - table[first][inverse])[:, :3] > apart).any(axis=1))
    if len(differ):
        raise RecordError(f"{name}: entries at {stamps[differ[0]]} ms contradict each other by more than {apart:g}")
    return TimedNumbers(times, table[first])
