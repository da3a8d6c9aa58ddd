"""What LeRobot's columns mean: the format has no word for it, so that names decide, and doubts are told.

Names of values      joints, motors, `.pos` -> joint_position   `.vel` -> joint_velocity   x y z ... -> eef_pose (state)
                     or eef_delta (action); anything else is `mixed`, with a doubt
Names of cameras     wrist, hand, gripper ... -> wrist, wrist_2 (right before left), others -> primary, secondary
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dataengine.episode import CAMERA_SLOTS, Encoding
from dataengine.errors import SourceError
from dataengine.formats.lerobot.lerobot import Feature
from dataengine.naming import did_you_mean
from dataengine.raw import Raw, untouched
from dataengine.sources.lerobot import columns as lerobot_columns
from dataengine.vector_layout import UNKNOWN

STATES = ("observation.state", "state", "observations.state", "observation.states")
ACTIONS = ("action", "actions")
COUNTERS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
"""Columns that every dataset has."""
TERM = re.compile(r"^\s*([^\[\]]+?)\s*(?:\[(\d*):(\d*)\])?\s*$")
POSITION = re.compile(r"joint|motor|shoulder|elbow|waist|forearm|finger|\bpos\b|\bq_?\d|servo|axis_?\d")
VELOCITY = re.compile(r"vel\b|velocity|qd_?\d")
DELTA = re.compile(r"^d(elta)?_?(?=[xyz]$)")
GRIPPER = re.compile(r"gripper|claw|jaw")
CAMERA_WRIST = re.compile(r"wrist|hand|gripper|arm")
OUTER_FIRST = ("primary", "main", "head", "high", "top", "exterior", "front", "image")
"""Words in names of cameras that see the whole scene, the likeliest first."""
UNITS = {"mm": "millimetres", "deg": "degrees", "rad": "radians", "metres": "metres", "meters": "metres"}
"""Last words of names that are units; a bare `m` or `s` may mean anything."""
ENCODING_NAMES: Mapping[Encoding, str] = {"joint_position": "joint", "joint_velocity": "joint_velocity"}


@dataclass(frozen=True)
class Slice:
    """Some values of a column."""

    feature: Feature
    first: int
    stop: int

    def __str__(self) -> str:
        """Print it as the option takes it."""
        whole = (self.first, self.stop) == (0, self.feature.width)
        return self.feature.key if whole else f"{self.feature.key}[{self.first}:{self.stop}]"

    @property
    def names(self) -> tuple[str, ...]:
        """Of its values; empty where the column has none."""
        named = len(self.feature.names) == self.feature.width
        return self.feature.names[self.first : self.stop] if named else ()

    @property
    def numbered(self) -> tuple[str, ...]:
        """Name its values after the column: `left_arm 3`, `left_gripper`."""
        key = self.feature.key
        below = next((prefix for prefix in chain(*lerobot_columns.PREFIXES.values()) if key.startswith(prefix)), "")
        name = key.removeprefix(below)
        return (name,) if self.feature.width == 1 else tuple(f"{name} {i}" for i in range(self.first, self.stop))


@dataclass(frozen=True)
class Vector:
    """State or action, put together from columns."""

    slices: tuple[Slice, ...]
    encoding: Encoding
    doubt: str = ""
    known_grippers: str | None = None
    """Indices of grippers where columns tell, not the names of values."""
    exact: Feature | None = None
    """Column of our own exports with the whole numbers that the others round; its names are their indices."""

    def __str__(self) -> str:
        """Say which columns it is, and what they are called."""
        names = " ".join(name for part in self.slices for name in part.names)
        return ",".join(map(str, self.slices)) + (f": {names}" if names else "")

    @property
    def width(self) -> int:
        """Values in a step."""
        return sum(part.stop - part.first for part in self.slices)

    @property
    def grippers(self) -> str | None:
        """Say in which places names put grippers, as `vector_layout` reads it; None where they do not tell."""
        if self.encoding == "joint_velocity":  # the speed of a gripper is no opening
            return ""
        if self.known_grippers is not None:
            return self.known_grippers
        names = [name.lower() for part in self.slices for name in part.names]
        if len(names) != self.width or not _telling(names):
            return None
        return ",".join(str(i) for i, name in enumerate(names) if GRIPPER.search(name))

    @property
    def value_names(self) -> tuple[str, ...]:
        """Name the values; those of a nameless column among several after the column, and none of a nameless one."""
        if len(self.slices) == 1:
            return self.slices[0].names
        return tuple(name for part in self.slices for name in part.names or part.numbered)

    @property
    def units(self) -> str:
        """Say the units that names tell (`x_mm`, `elbow_deg`); LeRobot has no other word for them."""
        units = [UNITS.get(re.split(r"[^a-z]", name.lower())[-1], UNKNOWN) for name in self.value_names]
        return ",".join(units) or UNKNOWN

    @property
    def columns(self) -> list[str]:
        """Columns that it needs."""
        return [part.feature.key for part in self.slices] + ([self.exact.key] if self.exact else [])

    def untouched(self, columns: Mapping[str, NDArray[Any]]) -> Raw | None:
        """Put (t, width) together without a loss; None where there is nothing."""
        if not self.slices:
            return None
        joined = untouched(*(columns[part.feature.key][:, part.first : part.stop] for part in self.slices))
        if self.exact is None or columns[self.exact.key].dtype.kind != "i":
            return joined
        indices = [int(name) if name.isdecimal() else self.width for name in self.exact.names]
        wide = untouched(columns[self.exact.key]).exact
        exact = {indices[k]: whole for k, whole in wide.items() if k < len(indices) and indices[k] < self.width}
        return Raw(joined.values, {**joined.exact, **exact})

    def values(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
        """Put (t, width) together; None where there is nothing."""
        arrays = [columns[part.feature.key][:, part.first : part.stop] for part in self.slices]
        return np.concatenate(arrays, axis=1) if arrays else None


def state(features: Mapping[str, Feature], wanted: str, encoding: str, where: str) -> Vector:
    """Choose the columns `wanted` (`a[0:7],b`), else the usual one that there is, and tell what they are."""
    return _vector(features, wanted, STATES, encoding, where)


def action(features: Mapping[str, Feature], wanted: str, encoding: str, where: str) -> Vector:
    """Choose the columns of the action as `state` does."""
    return _vector(features, wanted, ACTIONS, encoding, where)


def _vector(features: Mapping[str, Feature], wanted: str, usual: Sequence[str], encoding: str, where: str) -> Vector:
    what = "state" if usual is STATES else "action"
    if wanted:
        slices = tuple(_slice(features, term, where) for term in wanted.split(","))
    elif (whole := _whole(features, usual)) or (whole := _called_alike(features, what)):
        slices = (Slice(whole, 0, whole.width),)
    else:
        return _together(features, what, encoding, usual[0])
    if encoding != "auto":
        return Vector(slices, cast(Encoding, encoding))
    guessed = _encoding(slices, what)
    return Vector(slices, guessed, _doubt(slices, guessed, what))


def _whole(features: Mapping[str, Feature], usual: Sequence[str]) -> Feature | None:
    return next((features[key] for key in usual if key in features and features[key].is_numeric), None)


def _called_alike(features: Mapping[str, Feature], what: str) -> Feature | None:
    """Find the one column whose values are called as those of the other vector, which is whole."""
    other = _whole(features, ACTIONS if what == "state" else STATES)
    if other is None or not _telling([name.lower() for name in other.names]):
        return None
    below = tuple(lerobot_columns.PREFIXES[what])
    alike = [f for key, f in features.items() if f.is_numeric and key.startswith(below) and f.names == other.names]
    positions = [feature for feature in alike if not lerobot_columns.is_apart(feature.key)]
    return positions[0] if len(positions) == 1 else None


def _together(features: Mapping[str, Feature], what: str, encoding: str, usual: str) -> Vector:
    """Put a vector together from several columns, and say how; or say that there is none."""
    joined = lerobot_columns.together(features, what)
    if not joined.pieces:
        numeric = ", ".join(key for key, feature in features.items() if feature.is_numeric and key not in COUNTERS)
        why = f"no column {usual}{f', and {joined.problem}' if joined.problem else ''}"
        return Vector((), "none", f"{what}: {why}; say --{what} with some of {numeric}")
    slices = tuple(Slice(piece.feature, piece.first, piece.stop) for piece in joined.pieces)
    starts = accumulate((piece.stop - piece.first for piece in joined.pieces), initial=0)
    grippers = [str(start) for start, piece in zip(starts, joined.pieces, strict=False) if piece.is_gripper]
    lines = [f"{what}: put together as {', '.join(map(str, slices))}"]
    lines += [f"raw alone are {', '.join(joined.beside)}"] if joined.beside else []
    lines += [f"not understood, and raw alone, are {', '.join(joined.unknown)}"] if joined.unknown else []
    doubt = "; ".join([*lines, f"--{what} decides otherwise"])
    if encoding == "auto":
        joints: Encoding = "joint_delta" if joined.is_change else "joint_position"
        encoding = joints if joined.is_joints else _encoding(slices, what)
    return Vector(slices, cast(Encoding, encoding), doubt, known_grippers=",".join(grippers))


def raw(features: Mapping[str, Feature], chosen: Vector, prefixes: tuple[str, ...], kept: str) -> Vector:
    """Choose the raw counterpart: what an export kept of it, else the chosen columns whole and others of `prefixes`."""
    exact = None
    if kept in features:
        keys, exact = [kept], features.get(f"{kept}_exact")
    else:
        below = (key for key, feature in features.items() if feature.is_numeric and key.startswith(prefixes))
        keys = list(dict.fromkeys([*chosen.columns, *below]))
    return Vector(tuple(Slice(features[key], 0, features[key].width) for key in keys), "mixed", exact=exact)


def cameras(
    features: Mapping[str, Feature], wanted: str, where: str, exported: Mapping[str, str] | None = None
) -> tuple[dict[str, str], list[str]]:
    """Give each slot a camera's key, and list those left out.

    The user's word counts (`primary=key,wrist=key`), else what our own export says (slot to key), else names. Depth is
    left out unless it was asked for: the corpus keeps colours.
    """
    there = [key for key, feature in features.items() if feature.is_camera]
    if wanted:
        chosen = dict(_pairs(wanted, there, where))
    elif exported and set(exported.values()) <= set(there):
        chosen = dict(exported)
    else:
        chosen = {}
        colour = [key for key in there if not features[key].is_depth]
        hands = sorted((key for key in colour if CAMERA_WRIST.search(_last(key))), key=_hand_rank)
        outer = sorted((key for key in colour if key not in hands), key=_outer_rank)
        if not outer and hands:  # a lone camera is what the robot sees
            outer, hands = hands[:1], hands[1:]
        chosen |= dict(zip(("primary", "secondary"), outer, strict=False))
        chosen |= dict(zip(("wrist", "wrist_2"), hands, strict=False))
    return chosen, [key for key in there if key not in chosen.values()]


def layout(state: Vector, action: Vector) -> str:
    """Name widths and encodings, so that embodiments of one name have the same: `joint6`, `joint8_eef_delta7`."""
    names = [_word(state, "state"), _word(action, "action")]
    return "_".join(dict.fromkeys(names))


def plain_name(text: str) -> str:
    """Make a name of small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _word(vector: Vector, what: str) -> str:
    if not vector.slices:
        return f"no_{what}"
    return f"{ENCODING_NAMES.get(vector.encoding, vector.encoding)}{vector.width}"


def _slice(features: Mapping[str, Feature], term: str, where: str) -> Slice:
    match = TERM.match(term)
    numeric = [key for key, feature in features.items() if feature.is_numeric]
    if match is None or match[1] not in numeric:
        raise SourceError(f"{where}: no column of numbers '{term.strip()}'; {did_you_mean(term.strip(), numeric)}")
    feature = features[match[1]]
    first, stop = int(match[2] or 0), int(match[3] or feature.width)
    if not first < stop <= feature.width:
        raise SourceError(f"{where}: '{term.strip()}' takes {first} to {stop} of a column of {feature.width} values")
    return Slice(feature, first, stop)


def _pairs(wanted: str, there: list[str], where: str) -> Iterable[tuple[str, str]]:
    for pair in wanted.split(","):
        slot, equals, key = (word.strip() for word in pair.partition("="))
        if not equals or slot not in CAMERA_SLOTS:
            raise SourceError(f"{where}: found camera '{pair}', expected SLOT=KEY with {', '.join(CAMERA_SLOTS)}")
        if key not in there:
            raise SourceError(f"{where}: no camera '{key}'; {did_you_mean(key, there)}")
        yield slot, key


def _encoding(slices: Sequence[Slice], what: str) -> Encoding:
    names = [name.lower() for part in slices for name in part.names]
    plain = [DELTA.sub("", re.split(r"[./]", name)[-1]) for name in names]
    if {"x", "y", "z"} <= set(plain):
        return "eef_pose" if what == "state" else "eef_delta"
    text = [name.replace("_", " ") for name in names if "gripper" not in name]
    if text and all(VELOCITY.search(name) for name in text):
        return "joint_velocity"
    if text and all(POSITION.search(name.replace(" ", "_")) or POSITION.search(name) for name in text):
        return "joint_position"
    if lerobot_columns.are_joints(part.feature.key for part in slices):
        return "joint_position"
    grouped = all(POSITION.search(part.feature.group) for part in slices)
    return "joint_position" if grouped and not _telling(names) else "mixed"


def _telling(names: Sequence[str]) -> bool:
    """Tell names that mean something from numbers."""
    return any(not re.fullmatch(r"[a-z]*_?\d+", name) for name in names)


def _doubt(slices: Sequence[Slice], encoding: Encoding, what: str) -> str:
    if encoding == "mixed":
        names = " ".join(name for part in slices for name in part.names)
        said = f"are called {names}" if names else "have no names"
        return f"{what}: values of {','.join(map(str, slices))} {said}; kept as they are, say --{what}-encoding"
    if encoding == "eef_delta" and not any(DELTA.match(name.lower()) for part in slices for name in part.names):
        return "action: names say x y z, not whether it is a change or a goal; taken as a change, say --action-encoding"
    return ""


def _last(key: str) -> str:
    return key.lower().rpartition(".")[2]


def _hand_rank(key: str) -> tuple[bool, str]:
    """Put the right hand before the left, as other datasets have it."""
    return "left" in _last(key), key


def _outer_rank(key: str) -> tuple[int, str]:
    name = _last(key)
    ranks = (rank for rank, word in enumerate(OUTER_FIRST) if word in name)
    return next(ranks, len(OUTER_FIRST)), key
