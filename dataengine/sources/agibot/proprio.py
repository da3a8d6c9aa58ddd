"""proprio_stats.h5 of AgiBot World: what its arrays mean, and how each known defect is met.

state/joint/position     (n, 14)       radians, left arm then right
state/effector/position  (n, 2 or 12)  grippers: millimetres, 0 to 120, counted upwards from open; hands: radians
state/end/position       (n, 2, 3)     metres, flange, left then right
state/end/orientation    (n, 2, 4)     quaternion xyzw
state/{head,waist}/position (n, 2)     radians; the waist's second number is a lift in metres
action/...               as state; effector of grippers 0 open to 1 closed; robot/velocity (n, 2)

Canonical: per arm [x y z roll pitch yaw gripper], without the gripper for hands of six joints.

Decided for each episode, and noted:
action_source      Commands of the ends mostly repeat the state. Then the action is the next state, else the command.
action_..._placed  Commands of some steps only lie at the steps of `index`; in between the state stands.
gripper_...        See `grippers.py`.
clock              Timestamps that do not increase, or are in another unit, give way to the nominal rate.

What is not there at all is NaN in the raw vectors.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.formats import hdf5
from dataengine.formats.byte_range import Location
from dataengine.sources import _poses
from dataengine.sources.agibot import grippers
from dataengine.sources.agibot.commands import COPY_SHARE, all_of, index_of, next_state, placed, share_equal

OTHER_UNIT = 30.0
"""Steps this many times as long or short as they should be are no steps in nanoseconds."""
HAND_JOINTS = 12
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


def read(location: Location, step_ns: float) -> Proprio:
    """Read one file; raise RecordError where it cannot be made sense of."""
    arrays = hdf5.read(location, ("timestamp", *STATE_KEYS), (*SOFT_KEYS, *ACTION_KEYS))
    num_steps = len(np.atleast_1d(arrays["state/joint/position"]))
    if not num_steps:
        raise RecordError("the episode has no steps")
    _check_shapes(arrays, num_steps)
    _check_numbers(arrays)
    notes: dict[str, str] = {}
    effector = arrays["state/effector/position"]
    has_hands = effector.shape[1] == HAND_JOINTS
    soft = {part: _soft(arrays, part, num_steps, notes) for part in ("head", "waist")}
    unsent = effector if has_hands else _gap(effector)
    commands = all_of(arrays, unsent, soft, notes)

    pose = _pose(arrays["state/end/position"], arrays["state/end/orientation"], "state")
    wanted = _wanted_pose(arrays, pose, notes)
    if has_hands:
        state, action = pose.reshape(num_steps, -1), wanted.reshape(num_steps, -1)
    else:
        opening = grippers.opening(effector, commands.get("effector"), notes)
        if "effector" in commands:
            commands["effector"] = grippers.filled(commands["effector"], opening)
        wanted_opening = grippers.wanted(opening, commands.get("effector"), notes)
        state = np.concatenate([pose, opening[..., None]], axis=2).reshape(num_steps, -1)
        action = np.concatenate([wanted, wanted_opening[..., None]], axis=2).reshape(num_steps, -1)

    parts = {"joint": arrays["state/joint/position"], "effector": effector, **soft}
    raw_action = [commands.get(part, _gap(value)) for part, value in {**parts, "robot": soft["head"]}.items()]
    return Proprio(
        time_ns=_time(arrays["timestamp"], num_steps, step_ns, notes),
        state=state,
        action=action,
        raw_state=np.concatenate(list(parts.values()), axis=1),
        raw_action=np.concatenate(raw_action, axis=1),
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
            index = tuple(map(int, np.argwhere(~finite)[0]))
            raise RecordError(f"'{key}'{list(index)} is {values[index]}, expected a finite number")


def _soft(arrays: Mapping[str, NDArray], part: str, n: int, notes: dict[str, str]) -> NDArray:
    """Head or waist: a few episodes have another width or none."""
    value = arrays.get(f"state/{part}/position", np.empty(0))
    if value.shape == (n, 2):
        return value
    notes[f"{part}_missing"] = f"shape {value.shape}, NaN in its place"
    return np.full((n, 2), np.nan)


def _gap(like: NDArray) -> NDArray:
    return np.full(like.shape, np.nan)


def _pose(position: NDArray, orientation: NDArray, where: str) -> NDArray:
    """(n, 2, 3) and (n, 2, 4) to (n, 2, 6): x y z roll pitch yaw of each arm."""
    return _poses.canonical(position, orientation, f"{where}/end/position", f"{where}/end/orientation")


def _wanted_pose(arrays: Mapping[str, NDArray], pose: NDArray, notes: dict[str, str]) -> NDArray:
    """(n, 2, 6) action of the ends: the command, or the next state where there is none or it repeats the state."""
    state = [arrays[f"state/end/{name}"] for name in ("position", "orientation")]
    command = [arrays.get(f"action/end/{name}", np.empty(0)) for name in ("position", "orientation")]
    usable = all(c.size and c.shape[1:] == s.shape[1:] for c, s in zip(command, state, strict=True))
    if usable and len(command[0]) == len(command[1]):
        index = index_of(arrays, "end", len(command[0]))
        position, orientation = (placed(c, index, s, "end", notes) for c, s in zip(command, state, strict=True))
        share = share_equal(position, state[0])
        notes["action_equals_state"] = f"{share:.3f}"
        if share < COPY_SHARE:
            notes["action_source"] = "command"
            return _pose(position, orientation, "action")
    notes["action_source"] = "next_state"
    return next_state(pose)


def _time(timestamp: NDArray, num_steps: int, step_ns: float, notes: dict[str, str]) -> NDArray[np.int64]:
    """Nanoseconds since the first step; the nominal rate where the clock does not run forwards, or in another unit."""
    if timestamp.shape != (num_steps,):
        raise RecordError(f"timestamp has shape {timestamp.shape} for {num_steps} steps of state")
    time_ns = timestamp.astype(np.int64) - int(timestamp[0])
    apart_ns = np.diff(time_ns)
    usual_ns = float(np.median(apart_ns)) if len(apart_ns) else step_ns
    if not (apart_ns > 0).all():
        notes["clock"] = "timestamps do not increase; nominal rate taken"
    elif not step_ns / OTHER_UNIT < usual_ns < step_ns * OTHER_UNIT:
        notes["clock"] = f"timestamps are {usual_ns:.0f} ns apart, expected about {step_ns:.0f}; nominal rate taken"
    else:
        return time_ns
    return np.round(np.arange(num_steps) * step_ns).astype(np.int64)
