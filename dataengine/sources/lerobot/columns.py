"""States and actions that LeRobot datasets spread over several columns, put together by the names of these.

observation.state.left_arm, .left_gripper ...           columns below one prefix, told apart by the words of their names
joint.position, effector.position                       of both arms: by the sides that names of values tell (left_j0,
                                                        right_j0 ...), else halves of each, left before right

The order is always the same, so that state and action fit: left before right, an arm before its gripper or hand, then
head, waist and the like where state and action both have them. Joints go before poses of hands. Velocities, torques and
what has no such name stay raw. Where two columns claim one place, where names of values leave open which side they are
of or contradict the name of their column, and where some columns are changes and others are not, nothing is put
together.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise

from dataengine.formats.lerobot.lerobot import Feature

PREFIXES: Mapping[str, Sequence[str]] = {
    "state": (
        *("observation.state.", "observation.states.", "observations.state.", "observations.states."),
        *("state.", "states.", "observation."),
    ),
    "action": ("action.", "actions."),
}
WHOLE = ("left", "right")
SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
APART = frozenset(
    (
        *("vel", "velocity", "velocities", "speed", "qvel", "dq", "acc", "acceleration", "accelerations"),
        *("eff", "effort", "efforts", "torque", "torques", "force", "forces", "wrench", "current", "currents"),
        *("temperature", "temperatures", "tactile", "pressure", "imu", "environment"),
        *("index", "time", "timestamp", "stamp", "mode", "status", "error", "mask", "valid"),
    )
)
"""Words of columns that are no positions, whatever else their names say."""
KINDS: Sequence[tuple[str, frozenset[str]]] = (
    ("gripper", frozenset(("gripper", "grippers", "claw", "jaw", "grip"))),
    ("pose", frozenset(("end", "eef", "ee", "tcp", "cartesian", "pose"))),
    ("gripper", frozenset(("effector", "effectors"))),
    ("body", frozenset(("head", "neck", "waist", "torso", "spine", "lift", "base", "chassis", "leg", "legs"))),
    ("hand", frozenset(("hand", "hands", "finger", "fingers"))),
    ("joints", frozenset(("arm", "arms", "joint", "joints", "qpos", "motor", "motors", "servo", "servos"))),
)
"""The first that has a word of a column's name says what it is."""
TURNS = frozenset(("orientation", "rotation", "quat", "quaternion", "rpy", "euler"))
CHANGES = frozenset(("delta", "relative", "rel"))
BOTH_ARMS = 10
"""Joints in a column without a side, from which on it is of two arms if there are two grippers."""
ONE_ARM = 11
"""Most joints that one arm has with what carries it; beyond, numbers that count through are of two arms."""


@dataclass(frozen=True)
class Piece:
    """Some values of a column."""

    feature: Feature
    first: int
    stop: int
    is_gripper: bool = False


@dataclass(frozen=True)
class Together:
    """What was put together, or why not."""

    pieces: Sequence[Piece] = ()
    beside: Sequence[str] = ()
    """Columns that are understood, and no part of it."""
    unknown: Sequence[str] = ()
    problem: str = ""
    is_joints: bool = True
    is_change: bool = False


@dataclass
class _Sorted:
    """Columns below a prefix, by what they are and by side."""

    by_kind: dict[str, dict[str, list[Feature]]] = field(default_factory=dict)
    body: dict[str, Feature] = field(default_factory=dict)
    beside: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def together(features: Mapping[str, Feature], what: str) -> Together:
    """Put `state` or `action` together; without pieces where there is nothing, or nothing certain."""
    other = "action" if what == "state" else "state"
    for prefix in PREFIXES[what]:
        columns = _sorted(features, prefix)
        core = next((kind for kind in ("joints", "pose") if columns.by_kind.get(kind)), "")
        if not core:
            continue
        partners = chain.from_iterable(_sorted(features, each).body for each in PREFIXES[other])
        return _assembled(columns, core, frozenset(partners))
    return Together()


def are_joints(keys: Iterable[str]) -> bool:
    """Tell whether columns are joints and what is at their end, by the names of the columns."""
    kinds = {_kind(_split_name(key))[0] if not is_apart(key) else "" for key in keys}
    return "joints" in kinds and kinds <= {"joints", "gripper", "hand"}


def _kind(parts: Sequence[str]) -> tuple[str, str]:
    """Say what a column is, and the word that says it."""
    return next(((kind, part) for kind, known in KINDS for part in parts if part in known), ("", ""))


def _sorted(features: Mapping[str, Feature], prefix: str) -> _Sorted:
    columns = _Sorted()
    for key, feature in features.items():
        if not (key.startswith(prefix) and feature.is_numeric):
            continue
        parts = _split_name(key.removeprefix(prefix))
        side = next((SIDES[part] for part in parts if part in SIDES), "")
        kind, name = _kind(parts)
        if is_apart(key.removeprefix(prefix)):
            columns.beside.append(key)
        elif kind == "body":
            columns.body.setdefault(f"{side} {name}", feature)
        elif kind:
            columns.by_kind.setdefault(kind, {}).setdefault(side, []).append(feature)
        else:
            columns.unknown.append(key)
    return columns


def is_apart(key: str) -> bool:
    """Tell velocities, torques and the like by the name of their column."""
    return bool(APART & set(_split_name(key)))


def _split_name(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()) if word]


def _assembled(columns: _Sorted, core: str, partners: frozenset[str]) -> Together:
    """Lay the columns out arm by arm."""
    arms = columns.by_kind[core]
    ends = {kind: columns.by_kind.get(kind, {}) for kind in ("gripper", "hand")}
    beside = [*columns.beside, *_keys(columns.by_kind.get("pose", {}) if core == "joints" else {})]
    if problem := _problem(core, arms, ends):
        return Together(problem=problem, beside=beside, unknown=columns.unknown)
    sides = _sides(arms, ends)
    if problem := _unclear(sides, arms, ends):
        return Together(problem=problem, beside=beside, unknown=columns.unknown)
    pieces = [piece for side in sides for piece in _arm(side, sides, arms, ends)]
    shared = [feature for name, feature in columns.body.items() if name in partners]
    beside += [feature.key for name, feature in columns.body.items() if name not in partners]
    pieces += [Piece(feature, 0, feature.width) for feature in shared]
    changes, others = _by_change([piece.feature for piece in pieces])
    if changes and any(_kind(_split_name(feature.key))[0] != "gripper" for feature in others):
        problem = f"{_list(changes)} by name {_are(changes)} of changes, {_list(others)} {_are(others)} not"
        return Together(problem=problem, beside=beside, unknown=columns.unknown)
    return Together(pieces, beside, columns.unknown, is_joints=core == "joints", is_change=bool(changes))


def _by_change(features: Sequence[Feature]) -> tuple[list[Feature], list[Feature]]:
    """Part columns of changes from others by their names."""
    changes, others = dict[str, Feature](), dict[str, Feature]()
    for feature in features:
        (changes if CHANGES & set(_split_name(feature.key)) else others)[feature.key] = feature
    return [*changes.values()], [*others.values()]


def _are(columns: Sequence[Feature]) -> str:
    return "is" if len(columns) == 1 else "are"


def _problem(core: str, arms: Mapping[str, list[Feature]], ends: Mapping[str, Mapping[str, list[Feature]]]) -> str:
    """Say which columns claim one place."""
    for kind, sided in ((core, arms), *ends.items()):
        for side, columns in sided.items():
            turns = [bool(TURNS & set(_split_name(column.key))) for column in columns]
            if len(columns) > (1 if kind != "pose" else 2) or len(set(turns)) < len(columns):
                return f"{kind} {f'of the {side} side ' if side else ''}are in {_list(columns)}"
        if "" in sided and len(sided) > 1:
            return f"{kind} are in {_list([column for columns in sided.values() for column in columns])}"
    return ""


def _unclear(
    sides: Sequence[str], arms: Mapping[str, list[Feature]], ends: Mapping[str, Mapping[str, list[Feature]]]
) -> str:
    """Say which columns cannot be shared out among the arms."""
    if problem := _other_side(arms, ends):
        return problem
    shared = [("arm", column) for column in arms.get("", [])]
    num_columns = sum(len(columns) for sided in (arms, *ends.values()) for columns in sided.values())
    two = len(sides) == 2
    if two:
        shared += [(kind, column) for kind, sided in ends.items() for column in sided.get("", [])]
    elif _are_two_by_width(arms, ends["gripper"]):
        (gripper,) = ends["gripper"][""]
        if _is_of_both(gripper) and not _is_of_fingers(gripper):
            return f"{gripper.key} is of two arms by its names, {_list(arms[''])} of one, numbered throughout"
    for kind, column in shared:
        of_values = _value_sides(column)
        if {"left", "right", ""} <= set(of_values) and num_columns > 1:
            return f"{column.key} names the sides of {sum(map(bool, of_values))} of its {column.width} values"
        if two and kind == "arm" and _named_sides(column) and not _is_of_both(column):
            return f"{column.key} has values of the {of_values[0]} side alone, other columns of both"
        if two and not _named_sides(column) and column.width % 2:
            return f"{column.key} names no side, and its {column.width} values are not of two {kind}s"
    silent = [column for _, column in shared if not _named_sides(column)]
    right_first = [column for _, column in shared if _named_sides(column)[:1] == ("right",)]
    if two and silent and right_first:
        return f"{right_first[0].key} begins with the right side, and {silent[0].key} does not tell sides"
    return ""


def _other_side(arms: Mapping[str, list[Feature]], ends: Mapping[str, Mapping[str, list[Feature]]]) -> str:
    """Say which column is of one side by its own name, and of the other by the name of a value.

    A letter counts where all values have one: a lone `r` is a roll. Both sides in one gripper are its fingers.
    """
    for kind, sided in (("arm", arms), *ends.items()):
        for side, column in ((side, column) for side, columns in sided.items() if side for column in columns):
            letters_count = bool(_named_sides(column))
            parts = {
                name: [word for word in _split_name(name) if letters_count or word in WHOLE] for name in column.names
            }
            of_values = {name: _side(value_side) for name, value_side in parts.items()}
            others = [name for name, value_side in of_values.items() if value_side not in ("", side)]
            if others and not (kind == "gripper" and side in of_values.values()):
                return f"{column.key} is of the {side} side by its name, {others[0]:.80} of it is of the other"
    return ""


def _value_sides(column: Feature) -> tuple[str, ...]:
    """Tell the side of each value by its name, `` where that tells none; empty where names are not one for each."""
    return tuple(_side(_split_name(name)) for name in column.names) if len(column.names) == column.width else ()


def _side(parts: Sequence[str]) -> str:
    """Tell the one side that words name; a whole word counts more than a letter."""
    whole = {part for part in parts if part in WHOLE}
    sides = whole or {SIDES[part] for part in parts if part in SIDES}
    return sides.pop() if len(sides) == 1 else ""


def _named_sides(column: Feature) -> tuple[str, ...]:
    """Tell the side of each value; empty unless all names tell one."""
    sides = _value_sides(column)
    return sides if all(sides) else ()


def _is_of_both(column: Feature) -> bool:
    return set(_named_sides(column)) == {"left", "right"}


def _is_of_fingers(gripper: Feature) -> bool:
    """Tell two fingers of one gripper from two grippers by names of values (`finger_l`, `finger_r`)."""
    return any({"finger", "fingers"} & set(_split_name(name)) for name in gripper.names)


def _is_numbered(column: Feature) -> bool:
    """Tell whether names count values through (joint_0 to joint_9), and no more of them than one arm has."""
    numbers = [int(digits[-1]) for name in column.names if (digits := re.findall(r"\d+", name))]
    counts = bool(numbers) and numbers == list(range(numbers[0], numbers[0] + column.width))
    return counts and column.width <= ONE_ARM


def _are_two_by_width(arms: Mapping[str, list[Feature]], grippers: Mapping[str, list[Feature]]) -> bool:
    """Tell columns of two arms, none of which names a side, by their widths."""
    if arms.keys() | grippers.keys() != {""}:
        return False
    widths = [column.width for column in arms[""]]
    pairs = [column.width for column in grippers.get("", [])]
    return pairs == [2] and all(width % 2 == 0 for width in widths) and sum(widths) >= BOTH_ARMS


def _sides(arms: Mapping[str, list[Feature]], ends: Mapping[str, Mapping[str, list[Feature]]]) -> list[str]:
    """Give the arms in order; of columns that name no side one, unless names of values or widths say two."""
    if any(map(_is_of_both, arms.get("", []))):
        return ["left", "right"]
    named = {side for sided in (arms, *ends.values()) for side in sided if side}
    if named:
        return [side for side in ("left", "right") if side in named]
    grippers = ends["gripper"]
    is_one = any(map(_is_numbered, arms[""])) or any(map(_is_of_fingers, grippers.get("", [])))
    return ["left", "right"] if _are_two_by_width(arms, grippers) and not is_one else [""]


def _arm(
    side: str,
    sides: Sequence[str],
    arms: Mapping[str, list[Feature]],
    ends: Mapping[str, Mapping[str, list[Feature]]],
) -> Iterator[Piece]:
    """Give an arm and its gripper."""
    for kind, sided in (("arm", arms), *ends.items()):
        columns = sorted(sided.get(side, []), key=lambda column: bool(TURNS & set(_split_name(column.key))))
        for column in columns:
            yield Piece(column, 0, column.width, kind == "gripper" and column.width == 1)
        if side and not columns:
            for column in sorted(sided.get("", []), key=lambda column: bool(TURNS & set(_split_name(column.key)))):
                indices = _indices_of(column, side, sides)
                for first, stop in _runs(indices):
                    yield Piece(column, first, stop, kind == "gripper" and len(indices) == 1)


def _indices_of(column: Feature, side: str, sides: Sequence[str]) -> Sequence[int]:
    """Tell which values of a column of all sides are of one: by their names, else an equal share."""
    if len(sides) == 2 and (named := _named_sides(column)):
        return [i for i, value_side in enumerate(named) if value_side == side]
    share = column.width // len(sides)
    first = sides.index(side) * share
    return range(first, first + share)


def _runs(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut rising places into runs without a gap."""
    starts = [i for i in range(len(indices)) if not i or indices[i] != indices[i - 1] + 1]
    for start, stop in pairwise([*starts, len(indices)]):
        yield indices[start], indices[stop - 1] + 1


def _keys(sided: Mapping[str, list[Feature]]) -> list[str]:
    return [column.key for columns in sided.values() for column in columns]


def _list(columns: Sequence[Feature]) -> str:
    return " and ".join(column.key for column in columns)
