"""proprio_stats.h5 of AgiBot World: what its arrays mean, and how each known defect is met.

state/joint/position     (n, 14)       radians, left arm then right
state/effector/position  (n, 2 or 12)  grippers: millimetres, 0 to 120, counted upwards from open; hands: radians
state/end/position       (n, 2, 3)     metres, flange, left then right
state/end/orientation    (n, 2, 4)     quaternion xyzw
state/{head,waist}/position (n, 2)     radians; the waist's second number is a lift in metres
action/...               as state; effector of grippers 0 open to 1 closed; robot/velocity (n, 2)

Canonical: per arm [x y z roll pitch yaw gripper], without the gripper for hands of six joints.

Two things are decided for each episode and noted. The publisher's card calls the gripper's state an opening, users
found it to be a closing: the sign of its correlation with the commanded closing decides, `assumed` where it cannot.
Actions of the ends mostly repeat the state; then the action is the next state, else it is the command.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataengine import conventions
from dataengine.errors import RecordError
from dataengine.formats import hdf5

CLOSED_MM = 120.0
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


def read(path: Path, step_ns: float) -> Proprio:
    """Read one file; raise RecordError where it cannot be made sense of."""
    arrays = hdf5.read(path, ("timestamp", *STATE_KEYS), (*SOFT_KEYS, *ACTION_KEYS))
    num_steps = len(arrays["state/joint/position"])
    if not num_steps:
        raise RecordError("the episode has no steps")
    _check_shapes(arrays, num_steps)
    notes: dict[str, str] = {}
    effector = arrays["state/effector/position"]
    has_hands = effector.shape[1] == HAND_JOINTS
    soft = {part: _soft(arrays, part, num_steps, notes) for part in ("head", "waist")}
    commands = _commands(arrays, effector if has_hands else effector / CLOSED_MM, soft, notes)

    pose = _pose(arrays["state/end/position"], arrays["state/end/orientation"], "state")
    wanted = _wanted_pose(arrays, pose, commands, notes)
    if has_hands:
        state, action = pose.reshape(num_steps, -1), wanted.reshape(num_steps, -1)
    else:
        opening = _opening(effector, commands.get("effector"), notes)
        wanted_opening = _next(opening) if "effector" not in commands else 1.0 - np.clip(commands["effector"], 0.0, 1.0)
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

    Fewer rows than steps are commands at the steps of `index`; the state stands in between. More rows than steps
    cannot be placed. `effector` is the state in the unit of the action.
    """
    stand_in = {"joint": arrays["state/joint/position"], "effector": effector, **soft}
    stand_in["robot"] = np.zeros((len(effector), 2))
    found, absent = {}, []
    for part, fill in stand_in.items():
        value = arrays.get(f"action/{part}/{'velocity' if part == 'robot' else 'position'}", np.empty(0))
        if value.size == 0 or value.shape[1:] != fill.shape[1:]:
            absent.append(part)
        elif len(value) > len(fill):
            raise RecordError(f"action/{part} has {len(value)} rows for {len(fill)} steps of state")
        elif len(value) == len(fill):
            found[part] = value
        else:
            found[part] = _scatter(value, _index(arrays, part), fill, part)
            notes[f"action_{part}_placed"] = f"{len(value)} of {len(fill)} steps"
    if absent:
        notes["action_absent"] = " ".join(absent)
    return found


def _index(arrays: Mapping[str, NDArray], part: str) -> NDArray:
    """Return the steps at which commands were sent; some parts have only the joints' index."""
    own = arrays.get(f"action/{part}/index", np.empty(0))
    return own if own.size else arrays.get("action/joint/index", np.empty(0))


def _scatter(value: NDArray, index: NDArray, fill: NDArray, part: str) -> NDArray:
    if len(index) != len(value):
        raise RecordError(f"action/{part} has {len(value)} rows and {len(index)} indices for {len(fill)} steps")
    if index.min() < 0 or index.max() >= len(fill):
        raise RecordError(
            f"action/{part}/index runs from {index.min()} to {index.max()}, expected 0 to {len(fill) - 1}"
        )
    placed = fill.copy()
    placed[index] = value
    return placed


def _pose(position: NDArray, orientation: NDArray, where: str) -> NDArray:
    """(n, 2, 3) and (n, 2, 4) to (n, 2, 6): x y z roll pitch yaw of each arm."""
    norms = np.linalg.norm(orientation, axis=-1)
    if not (norms > 0.5).all():  # NaN is caught here too
        row = int(np.argwhere(~(norms > 0.5))[0, 0])
        raise RecordError(f"{where}/end/orientation[{row}] is no rotation: norm {norms[row].min():.3g}, expected 1")
    return np.concatenate([position, conventions.quaternion_to_euler(orientation)], axis=2)


def _wanted_pose(
    arrays: Mapping[str, NDArray], pose: NDArray, commands: Mapping[str, NDArray], notes: dict[str, str]
) -> NDArray:
    """(n, 2, 6) action of the ends: the command, or the next state where there is none or it repeats the state."""
    position = arrays.get("action/end/position", np.empty(0))
    orientation = arrays.get("action/end/orientation", np.empty(0))
    usable = position.shape == (len(pose), 2, 3) and orientation.shape == (len(pose), 2, 4)
    if usable:
        apart = np.abs(position - arrays["state/end/position"]).max(axis=(1, 2))
        share = float((apart < COPY_TOLERANCE).mean())
        notes["action_equals_state"] = f"{share:.3f}"
        if share < COPY_SHARE:
            notes["action_source"] = "command"
            return _pose(position, orientation, "action")
    notes["action_source"] = "next_state"
    return _next(pose)


def _next(values: NDArray) -> NDArray:
    """Shift by one step; the last repeats."""
    return np.concatenate([values[1:], values[-1:]])


def _opening(effector_mm: NDArray, command: NDArray | None, notes: dict[str, str]) -> NDArray:
    """(n, 2) millimetres to 0 closed to 1 open, by the polarity that fits the commanded closing."""
    closing = np.clip(effector_mm, 0.0, CLOSED_MM) / CLOSED_MM
    both = 0.0
    if command is not None:
        both = float(np.sum((closing - closing.mean(axis=0)) * (command - command.mean(axis=0))))
    if abs(both) < 1e-9:
        notes["gripper_polarity"] = "larger is closed (assumed)"
    else:
        notes["gripper_polarity"] = "larger is closed" if both > 0 else "larger is open"
    return closing if both < -1e-9 else 1.0 - closing


def _time(timestamp: NDArray, num_steps: int, step_ns: float, notes: dict[str, str]) -> NDArray[np.int64]:
    """Nanoseconds since the first step; the nominal rate where the clock does not run forwards."""
    if len(timestamp) != num_steps:
        raise RecordError(f"timestamp has {len(timestamp)} rows for {num_steps} steps of state")
    time_ns = timestamp.astype(np.int64) - int(timestamp[0])
    if (np.diff(time_ns) > 0).all():
        return time_ns
    notes["clock"] = "timestamps do not increase; nominal rate taken"
    return np.round(np.arange(num_steps) * step_ns).astype(np.int64)
