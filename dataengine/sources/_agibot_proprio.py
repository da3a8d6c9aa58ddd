"""proprio_stats.h5 of AgiBot World: what its arrays mean, and how each known defect is met.

state/joint/position     (n, 14)       radians, left arm then right
state/effector/position  (n, 2 or 12)  grippers: millimetres, 0 to 120, counted upwards from open; hands: radians
state/end/position       (n, 2, 3)     metres, flange, left then right
state/end/orientation    (n, 2, 4)     quaternion xyzw
state/{head,waist}/position (n, 2)     radians; the waist's second number is a lift in metres
action/...               as state; effector of grippers 0 open to 1 closed; robot/velocity (n, 2)

Canonical: per arm [x y z roll pitch yaw gripper], without the gripper for hands of six joints.

Decided for each episode, and noted:
gripper_polarity   The publisher's card calls the gripper's state an opening, users found it to be a closing. Both
                   grippers' correlation with the commanded closing decides. Where they never move, or do not follow
                   the command, it is a closing (`assumed`): so it was wherever users could tell.
action_source      Commands of the ends mostly repeat the state. Then the action is the next state, else the command.
gripper_source     The same of the grippers.
action_..._placed  Commands of some steps only lie at the steps of `index`; in between the state stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataengine import conventions
from dataengine.errors import RecordError
from dataengine.formats import hdf5
from dataengine.formats.byte_range import Place

CLOSED_MM = 120.0
SLACK_MM = 3.0
"""Grippers are read this much beyond their range now and then."""
STILL = 1e-6
"""Movement and command, root of their summed squares multiplied, below which there is none."""
MIN_CORRELATION = 0.2
"""Below this, grippers do not follow their command, and it says nothing about their polarity."""
HAND_JOINTS = 12
COPY_TOLERANCE = 1e-6
COPY_SHARE = 0.9
"""From this share of equal rows on, actions are taken for copies of the state."""

STATE_KEYS = ("state/joint/position", "state/effector/position", "state/end/position", "state/end/orientation")
SOFT_KEYS = ("state/head/position", "state/waist/position")
ACTION_PARTS = ("joint", "effector", "end", "head", "waist", "robot")
ACTION_KEYS = (
    *(f"action/{part}/{name}" for part in ACTION_PARTS[:-1] for name in ("position", "index")),
    "action/end/orientation",
    "action/robot/velocity",
    "action/robot/index",
)
RAW_KEYS = (
    "state/joint/position",
    *SOFT_KEYS,
    *(f"action/{part}/position" for part in ("joint", "head", "waist")),
    "action/robot/velocity",
)
"""No canonical vector is made of these."""


@dataclass(frozen=True, kw_only=True)
class Proprio:
    """The numbers of one episode over its n steps."""

    time_ns: NDArray[np.int64]
    state: NDArray
    """(n, 14), or (n, 12) for hands."""
    action: NDArray
    raw_state: NDArray
    """(n, 20 or 30): joints 14, effectors 2 or 12, head 2, waist 2."""
    raw_action: NDArray
    """(n, 22 or 32): as the state, then the base's forward velocity and yaw rate."""
    has_hands: bool
    notes: Mapping[str, str]


def read(place: Place, step_ns: float) -> Proprio:
    """Read one file; raise RecordError where it cannot be made sense of."""
    arrays = hdf5.read(place, ("timestamp", *STATE_KEYS), (*SOFT_KEYS, *ACTION_KEYS))
    num_steps = len(np.atleast_1d(arrays["state/joint/position"]))
    if not num_steps:
        raise RecordError("the episode has no steps")
    _check_shapes(arrays, num_steps)
    _check_numbers(arrays)
    notes: dict[str, str] = {}
    effector = arrays["state/effector/position"]
    has_hands = effector.shape[1] == HAND_JOINTS
    soft = {part: _soft(arrays, part, num_steps, notes) for part in ("head", "waist")}
    commands = _commands(arrays, effector if has_hands else effector / CLOSED_MM, soft, notes)

    pose = _pose(arrays["state/end/position"], arrays["state/end/orientation"], "state")
    wanted = _wanted_pose(arrays, pose, notes)
    if has_hands:
        state, action = pose.reshape(num_steps, -1), wanted.reshape(num_steps, -1)
    else:
        opening = _opening(effector, commands.get("effector"), notes)
        wanted_opening = _wanted_opening(opening, commands.get("effector"), notes)
        state = np.concatenate([pose, opening[..., None]], axis=2).reshape(num_steps, -1)
        action = np.concatenate([wanted, wanted_opening[..., None]], axis=2).reshape(num_steps, -1)

    parts = {"joint": arrays["state/joint/position"], "effector": effector, **soft}
    raw_action = {part: commands.get(part, value) for part, value in parts.items()}
    velocity = commands.get("robot", np.zeros((num_steps, 2)))
    return Proprio(
        time_ns=_time(arrays["timestamp"], num_steps, step_ns, notes),
        state=state,
        action=action,
        raw_state=np.concatenate(list(parts.values()), axis=1),
        raw_action=np.concatenate([*raw_action.values(), velocity], axis=1),
        has_hands=has_hands,
        notes=notes,
    )


def _check_shapes(arrays: Mapping[str, NDArray], n: int) -> None:
    expected: dict[str, list[tuple[int, ...]]] = {
        "state/joint/position": [(n, 14)],
        "state/effector/position": [(n, 2), (n, HAND_JOINTS)],
        "state/end/position": [(n, 2, 3)],
        "state/end/orientation": [(n, 2, 4)],
    }
    for key, shapes in expected.items():
        if arrays[key].shape not in shapes:
            wanted = " or ".join(map(str, shapes))
            raise RecordError(f"'{key}' has shape {arrays[key].shape}, expected {wanted} as in state/joint/position")


def _check_numbers(arrays: Mapping[str, NDArray]) -> None:
    """Raise RecordError where one is not finite, in all but those that are only kept raw."""
    for key, values in arrays.items():
        if values.dtype.kind not in "iuf":
            raise RecordError(f"'{key}' holds {values.dtype}, expected numbers")
        if key in RAW_KEYS:
            continue
        if not (finite := np.isfinite(values)).all():
            place = tuple(map(int, np.argwhere(~finite)[0]))
            raise RecordError(f"'{key}'{list(place)} is {values[place]}, expected a finite number")


def _soft(arrays: Mapping[str, NDArray], part: str, n: int, notes: dict[str, str]) -> NDArray:
    """Head or waist: a few episodes have another width or none; they get zeros."""
    value = arrays.get(f"state/{part}/position", np.empty(0))
    if value.shape == (n, 2):
        return value
    notes[f"{part}_missing"] = f"shape {value.shape}, zeros in its place"
    return np.zeros((n, 2))


def _commands(
    arrays: Mapping[str, NDArray], effector: NDArray, soft: Mapping[str, NDArray], notes: dict[str, str]
) -> dict[str, NDArray]:
    """Collect the action of each part over all steps; parts without any are left out.

    Another number of rows than steps are commands at the steps of `index`; the state stands in between. `effector`
    is the state in the unit of the action.
    """
    stand_in = {"joint": arrays["state/joint/position"], "effector": effector, **soft}
    stand_in["robot"] = np.zeros((len(effector), 2))
    found, absent = {}, []
    for part, fill in stand_in.items():
        value = arrays.get(f"action/{part}/{'velocity' if part == 'robot' else 'position'}", np.empty(0))
        if value.size == 0 or value.shape[1:] != fill.shape[1:]:
            absent.append(part)
        else:
            found[part] = _placed(value, _index(arrays, part, len(value)), fill, part, notes)
    if absent:
        notes["action_absent"] = " ".join(absent)
    return found


def _index(arrays: Mapping[str, NDArray], part: str, count: int) -> NDArray:
    """Return the steps at which `count` commands were sent; some parts have only the joints' index."""
    own, joints = (arrays.get(f"action/{name}/index", np.empty(0)).ravel() for name in (part, "joint"))
    return joints if not own.size or (len(own) != count and len(joints) == count) else own


def _placed(value: NDArray, index: NDArray, fill: NDArray, part: str, notes: dict[str, str]) -> NDArray:
    """Lay commands on their steps; of several at one step the last counts. They need no index when all are there."""
    num_steps = len(fill)
    if len(value) == num_steps:
        return value
    if len(index) != len(value):
        raise RecordError(
            f"action/{part} has {len(value)} rows and {len(index)} indices for {num_steps} steps of state"
        )
    if not (index.min() >= 0 and index.max() < num_steps):
        raise RecordError(
            f"action/{part}/index runs from {index.min()} to {index.max()}, expected 0 to {num_steps - 1}"
        )
    placed = np.array(fill, dtype=np.float64)
    placed[index.astype(np.int64)] = value
    notes[f"action_{part}_placed"] = f"{len(value)} commands at {len(np.unique(index))} of {num_steps} steps"
    return placed


def _pose(position: NDArray, orientation: NDArray, where: str) -> NDArray:
    """(n, 2, 3) and (n, 2, 4) to (n, 2, 6): x y z roll pitch yaw of each arm."""
    norms = np.linalg.norm(orientation, axis=-1)
    if not (norms > 0.5).all():  # NaN is caught here too
        row = int(np.argwhere(~(norms > 0.5))[0, 0])
        raise RecordError(f"{where}/end/orientation[{row}] is no rotation: norm {norms[row].min():.3g}, expected 1")
    return np.concatenate([position, conventions.quaternion_to_euler(orientation)], axis=2)


def _wanted_pose(arrays: Mapping[str, NDArray], pose: NDArray, notes: dict[str, str]) -> NDArray:
    """(n, 2, 6) action of the ends: the command, or the next state where there is none or it repeats the state."""
    state = [arrays[f"state/end/{name}"] for name in ("position", "orientation")]
    command = [arrays.get(f"action/end/{name}", np.empty(0)) for name in ("position", "orientation")]
    usable = all(c.size and c.shape[1:] == s.shape[1:] for c, s in zip(command, state, strict=True))
    if usable and len(command[0]) == len(command[1]):
        index = _index(arrays, "end", len(command[0]))
        position, orientation = (_placed(c, index, s, "end", notes) for c, s in zip(command, state, strict=True))
        share = _share_equal(position, state[0])
        notes["action_equals_state"] = f"{share:.3f}"
        if share < COPY_SHARE:
            notes["action_source"] = "command"
            return _pose(position, orientation, "action")
    notes["action_source"] = "next_state"
    return _next(pose)


def _share_equal(command: NDArray, state: NDArray) -> float:
    """Share of the steps at which a command is the state itself; commands between those that were sent count too."""
    apart = np.abs(command - state).reshape(len(state), -1).max(axis=1)
    return float((apart < COPY_TOLERANCE).mean())


def _next(values: NDArray) -> NDArray:
    """Shift by one step; the last repeats."""
    return np.concatenate([values[1:], values[-1:]])


def _opening(effector_mm: NDArray, command: NDArray | None, notes: dict[str, str]) -> NDArray:
    """(n, 2) millimetres to 0 closed to 1 open, by the polarity that fits the commanded closing."""
    low, high = float(effector_mm.min()), float(effector_mm.max())
    if low < -SLACK_MM or high > CLOSED_MM + SLACK_MM:
        notes["gripper_clipped"] = f"{low:.1f} to {high:.1f} mm"
    closing = np.clip(effector_mm, 0.0, CLOSED_MM) / CLOSED_MM
    correlation = 0.0 if command is None else _correlation(closing, command)
    polarity = "larger is open" if correlation < -MIN_CORRELATION else "larger is closed"
    assumed = " (assumed)" if abs(correlation) < MIN_CORRELATION else ""
    notes["gripper_polarity"] = f"{polarity}{assumed}"
    notes["gripper_correlation"] = f"{correlation:.3f}"
    return closing if polarity == "larger is open" else 1.0 - closing


def _correlation(closing: NDArray, command: NDArray) -> float:
    """Correlate both grippers together; one that stays still, or is never commanded, has no say. 0 where none has."""
    moved, wanted = closing - closing.mean(axis=0), command - command.mean(axis=0)
    scale = np.sqrt(np.sum(moved**2) * np.sum(wanted**2))
    return float(np.sum(moved * wanted) / scale) if scale > STILL else 0.0


def _wanted_opening(opening: NDArray, command: NDArray | None, notes: dict[str, str]) -> NDArray:
    """(n, 2) commanded opening; the next state where nothing was commanded or the command repeats the state."""
    if command is not None:
        wanted = 1.0 - np.clip(command, 0.0, 1.0)
        if _share_equal(wanted, opening) < COPY_SHARE:
            notes["gripper_source"] = "command"
            return wanted
    notes["gripper_source"] = "next_state"
    return _next(opening)


def _time(timestamp: NDArray, num_steps: int, step_ns: float, notes: dict[str, str]) -> NDArray[np.int64]:
    """Nanoseconds since the first step; the nominal rate where the clock does not run forwards."""
    if timestamp.shape != (num_steps,):
        raise RecordError(f"timestamp has shape {timestamp.shape} for {num_steps} steps of state")
    time_ns = timestamp.astype(np.int64) - int(timestamp[0])
    if (np.diff(time_ns) > 0).all():
        return time_ns
    notes["clock"] = "timestamps do not increase; nominal rate taken"
    return np.round(np.arange(num_steps) * step_ns).astype(np.int64)
