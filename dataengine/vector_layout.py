"""What the numbers of a state or an action are: arms, positions, angles, joints, grippers, names and units.

A layout follows from an encoding and a width. Poses, deltas and velocities of hands are
`[x y z roll pitch yaw gripper]` for each arm, or a part of that; joints are those of an arm and then its gripper. Where
a source lays its vectors out otherwise, or knows more or less of them, it says so in its notes (`note_key`):

<column>_grippers  indices of the grippers joined by commas, or nothing for none
<column>_names     a name for each value, joined by commas: `x y z roll pitch yaw gripper`, also as `left_x`, `right_x`;
                   a JSON list where names have commas (`join_names` writes either)
<column>_units     a unit for each value, joined by commas, or one for all: see `FACTORS` and `UNKNOWN`

Without such a note values are in house units: metres, radians, grippers 0 closed to 1 open.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError

What = Literal["grippers", "names", "units"]

UNKNOWN: Final = "unknown"
"""A unit that nobody published. Other words that have no factor say what numbers are, not how large: `pixels`, `ticks`,
`normalised`."""

FACTORS: Final[Mapping[str, float]] = MappingProxyType(
    {
        **{"metres": 1.0, "centimetres": 0.01, "millimetres": 0.001},
        **{"radians": 1.0, "degrees": math.pi / 180},
        **{"metres_per_s": 1.0, "millimetres_per_s": 0.001, "radians_per_s": 1.0, "degrees_per_s": math.pi / 180},
        **{"opening": 1.0, "percent_open": 0.01},
    }
)
"""Units by what turns them into house units; `opening` is 0 closed to 1 open."""

HANDS: Final = ("eef_pose", "eef_delta", "eef_velocity")
JOINTS: Final = ("joint_position", "joint_delta", "joint_velocity")
VELOCITIES: Final = ("eef_velocity", "joint_velocity")

_HAND: Final[Mapping[int, str]] = MappingProxyType(
    {
        2: "x y",
        3: "x y yaw",
        4: "x y z gripper",
        5: "x y z yaw gripper",
        6: "x y z roll pitch yaw",
        7: "x y z roll pitch yaw gripper",
    }
)
"""Names of one arm's values by width. Twice 6 and twice 7 are two arms."""
_JOINT_GRIPPERS: Final[Mapping[int, tuple[int, ...]]] = MappingProxyType({8: (7,), 14: (6, 13), 16: (7, 15)})
"""7 joints and a gripper; twice 6 and a gripper (ALOHA); twice 7 and a gripper. 6 or 7 alone are joints."""

_POSITION, _ROTATION = ("x", "y", "z"), ("roll", "pitch", "yaw")
_ROLE: Final = re.compile(r"(?:.*[._/ -])?d?(?:elta)?_?(x|y|z|roll|pitch|yaw)(?:_(?:mm|cm|m|deg|rad|metres|meters))?$")
_SIDE: Final = re.compile(r"(?:^|[._/ -])(left|right|l|r|\d+)(?=$|[._/ -])")
_GRIPPER: Final = re.compile(r"gripper|claw|jaw")


@dataclass(frozen=True)
class Arm:
    """Which values of a vector belong to one arm."""

    position: tuple[int, ...] = ()
    """x y z of its hand, or x y in a plane."""
    rotation: tuple[int, ...] = ()
    """roll pitch yaw, or yaw alone."""
    joints: tuple[int, ...] = ()
    gripper: int | None = None


@dataclass(frozen=True)
class VectorLayout:
    """What each of the d values of a vector is. Equal layouts mean equal things, so that they may be compared."""

    encoding: str
    names: tuple[str, ...]
    """(d,) as people call them; empty where nobody says."""
    units: tuple[str, ...]
    """(d,)"""
    arms: tuple[Arm, ...]
    grippers: tuple[int, ...]
    """Openings of grippers, of whatever unit."""

    @classmethod
    def of(
        cls,
        encoding: str,
        dim: int,
        *,
        grippers: str | None = None,
        names: str | None = None,
        units: str | None = None,
    ) -> "VectorLayout":
        """Lay out `dim` values of an encoding; the words are those of a source's notes, None where it has none."""
        return _of(encoding, dim, grippers, names, units)

    @property
    def dim(self) -> int:
        """Values in a step."""
        return len(self.units)

    @property
    def positions(self) -> tuple[tuple[int, ...], ...]:
        """Indices of each hand's x y z, for arms that have them."""
        return tuple(arm.position for arm in self.arms if arm.position)

    @cached_property
    def position(self) -> tuple[int, ...]:
        """Indices of all hands' positions, one after another."""
        return tuple(i for arm in self.arms for i in arm.position)

    @cached_property
    def rotation(self) -> tuple[int, ...]:
        """Indices of all hands' angles."""
        return tuple(i for arm in self.arms for i in arm.rotation)

    @cached_property
    def joints(self) -> tuple[int, ...]:
        """Indices of all arms' joints."""
        return tuple(i for arm in self.arms for i in arm.joints)

    @property
    def angles(self) -> tuple[int, ...]:
        """Indices of angles that wrap at half a turn; none of deltas and velocities, which are small."""
        return self.rotation if self.encoding == "eef_pose" else ()

    @cached_property
    def others(self) -> tuple[int, ...]:
        """Indices of what is no position, angle, joint or gripper."""
        known = {*self.position, *self.rotation, *self.joints, *self.grippers}
        return tuple(i for i in range(self.dim) if i not in known)

    @cached_property
    def factors(self) -> NDArray[np.float64]:
        """(d,) what turns values into house units; NaN where the unit is not known."""
        return np.array([FACTORS.get(unit, np.nan) for unit in self.units])

    def is_known(self, indices: Iterable[int]) -> bool:
        """Tell whether the units of some values are known."""
        return all(self.units[i] in FACTORS for i in indices)

    def in_house_units(self, values: NDArray[np.floating], indices: Sequence[int]) -> NDArray[np.floating]:
        """(n, d) to (n, k) some values in house units, a view where there is nothing to convert; NaN if not known."""
        first, factors = indices[0], self.factors[list(indices)]
        run = list(indices) == list(range(first, first + len(indices)))
        taken = values[:, first : first + len(indices)] if run else values[:, list(indices)]
        return taken if (factors == 1).all() else taken * factors

    @cached_property
    def groups(self) -> Mapping[str, tuple[int, ...]]:
        """Indices by kind of value, of all arms together, in the order of `GROUPS`; others are left out."""
        flat, yaw = all(len(p) == 2 for p in self.positions), all(len(a.rotation) <= 1 for a in self.arms)
        indices_of = {
            "xy" if flat else "xyz": self.position,
            "yaw" if yaw else "rpy": self.rotation,
            "joints": self.joints,
            "gripper": self.grippers,
        }
        return {name: indices for name, indices in indices_of.items() if indices}

    @property
    def notes(self) -> dict[What, str]:
        """Say all of it as a source would in its notes; `of` undoes it."""
        grippers = ",".join(map(str, self.grippers))
        return {"grippers": grippers, "names": join_names(self.names), "units": ",".join(self.units)}

    def name(self, index: int) -> str:
        """Name a value as its publisher does, else as the layout does (`yaw`, `joint 0`), else `value 3`."""
        return self.names[index] or f"value {index}"


GROUPS: Final = ("xyz", "xy", "rpy", "quaternion", "yaw", "joints", "gripper")
"""Names of groups, in the order in which they are shown; a layout has no quaternion, a probe may make one of `rpy`."""


def note_key(column: str, what: What = "grippers") -> str:
    """Name the note in which a source says something of a vector's values: `state_units`."""
    return f"{column}_{what}"


def join_names(names: Sequence[str]) -> str:
    """Write names as a note has them; `VectorLayout.of` undoes it."""
    plain = ",".join(names)
    is_plain = all(name == name.strip() and "," not in name for name in names) and not plain.startswith("[")
    return plain if is_plain else json.dumps(list(names))


LAYOUT_NOTES: Final = frozenset(note_key(column, what) for column in ("state", "action") for what in get_args(What))
"""Names of all of them."""


def layout_of(
    column: str,
    encoding: str | None,
    dim: int,
    notes: str | Mapping[str, str] | None = None,
    *,
    dataset: str = "",
    embodiment: str = "",
) -> VectorLayout:
    """Lay out a column of an episode by its encoding, its width and its notes (a dict, or JSON as in the corpus)."""
    grippers, names, units, is_lerobot = _said(column, notes)
    if units is None and (is_lerobot or dataset.startswith("lerobot/")):
        units = UNKNOWN  # rows from before LeRobot's were noted
    if grippers is None and encoding == "mixed" and embodiment == "aloha_mobile_joint":
        grippers = "6,13"  # rows from before its source noted them
    layout = _of(encoding or "none", dim, grippers, names, units)
    if units is None and column == "action" and embodiment.endswith("_unscaled"):
        return unscaled(layout)
    return layout


def unscaled(layout: VectorLayout) -> VectorLayout:
    """Give the layout of commands of a motion whose scale nobody published; grippers keep their unit."""
    units = tuple(unit if i in layout.grippers else UNKNOWN for i, unit in enumerate(layout.units))
    return VectorLayout(layout.encoding, layout.names, units, layout.arms, layout.grippers)


def _said(column: str, notes: str | Mapping[str, str] | None) -> tuple[str | None, str | None, str | None, bool]:
    """Give the notes of a column's grippers, names and units, and whether LeRobot's reader wrote them.

    Most notes say nothing of that, and their JSON is not parsed for it.
    """
    if isinstance(notes, str):
        tells = f'"{column}' in notes or '"state"' in notes or '"action"' in notes
        notes = json.loads(notes) if tells else None
    said: Mapping[str, str] = notes or {}
    grippers, names, units = (said.get(f"{column}_{what}") for what in ("grippers", "names", "units"))
    return grippers, names, units, "state" in said or "action" in said


@lru_cache(maxsize=4096)
def _of(encoding: str, dim: int, grippers: str | None, names: str | None, units: str | None) -> VectorLayout:
    called = _each(names, dim, "names")
    arms = _hands(dim, called) if encoding in HANDS else ()
    by_layout: tuple[int, ...] = tuple(sorted(arm.gripper for arm in arms if arm.gripper is not None))
    if encoding in JOINTS:
        by_layout = _JOINT_GRIPPERS.get(dim, ()) if encoding != "joint_velocity" else ()
    holds = by_layout if grippers is None else _indices(grippers, dim)
    if encoding in JOINTS:
        arms = tuple(_joint_arms(dim, holds))
    elif holds != by_layout:
        arms = tuple(_with_grippers(arms, holds))
    value_names = called or _names(dim, arms)
    value_units = _each(units, dim, "units") or _units(encoding, dim, arms, holds)
    return VectorLayout(encoding, value_names, value_units, arms, holds)


def _each(text: str | None, dim: int, what: str) -> tuple[str, ...]:
    """Split a note into a word for each value; empty without a note."""
    if not text:
        return ()
    values = _listed(text) or tuple(word.strip() for word in text.split(","))
    if len(values) == 1 and what == "units":
        values *= dim
    if len(values) != dim:
        raise DataEngineError(f"note of {what} '{text}': found {len(values)} of them, expected {dim}, joined by commas")
    return values


def _listed(text: str) -> tuple[str, ...]:
    """Read a note that is a JSON list of texts; empty for any other."""
    try:
        values = json.loads(text) if text.startswith("[") else ()
    except ValueError:
        return ()
    return tuple(values) if all(isinstance(word, str) for word in values) else ()


def _indices(said: str, dim: int) -> tuple[int, ...]:
    """Read the indices of a note."""
    try:
        indices = tuple(sorted({int(word) for word in said.split(",") if word.strip()}))
    except ValueError:
        indices = (-1,)
    if indices and not 0 <= indices[0] <= indices[-1] < dim:
        raise DataEngineError(f"note of grippers '{said}': expected indices from 0 to {dim - 1} joined by commas")
    return indices


def _hands(dim: int, names: Sequence[str]) -> tuple[Arm, ...]:
    """Lay hands out: as their names say, where these name positions, or else by the width."""
    if arms := _named_hands([name.lower() for name in names]):
        return arms
    count = 1 if dim in _HAND else 2
    layout = _HAND.get(dim // count, "").split() if dim in _HAND or dim in (12, 14) else []
    return tuple(
        _hand({name: arm * len(layout) + i for i, name in enumerate(layout)}) for arm in range(count) if layout
    )


def _named_hands(names: Sequence[str]) -> tuple[Arm, ...]:
    """Find the hands that names tell of: `x`, `eef.delta_x`, `left_x`; empty where they name no positions."""
    hands: dict[str, dict[str, int]] = {}
    for i, name in enumerate(names):
        side = _SIDE.search(name)
        role = "gripper" if _GRIPPER.search(name) else (match[1] if (match := _ROLE.match(name)) else "")
        mine = hands.setdefault(side[1].removesuffix("eft").removesuffix("ight") if side else "", {})
        if role and role in mine:
            return ()
        if role:
            mine[role] = i
    return tuple(_hand(hand) for hand in hands.values() if {"x", "y"} <= hand.keys())


def _hand(indices: Mapping[str, int]) -> Arm:
    """Make an arm of the indices of its values by name."""
    position, rotation = (tuple(indices[n] for n in some if n in indices) for some in (_POSITION, _ROTATION))
    return Arm(position=position, rotation=rotation, gripper=indices.get("gripper"))


def _joint_arms(dim: int, grippers: Sequence[int]) -> Iterator[Arm]:
    """Cut joints at the grippers that follow each arm; as one arm where that gives no equal ones."""
    ends = [*grippers] if grippers and grippers[-1] == dim - 1 else []
    starts = [0, *(end + 1 for end in ends[:-1])]
    if ends and len({end - start for start, end in zip(starts, ends, strict=True)}) == 1 and ends[0] > 0:
        for start, end in zip(starts, ends, strict=True):
            yield Arm(joints=tuple(range(start, end)), gripper=end)
    else:
        yield Arm(
            joints=tuple(i for i in range(dim) if i not in grippers),
            gripper=grippers[0] if len(grippers) == 1 else None,
        )


def _with_grippers(arms: Sequence[Arm], grippers: Sequence[int]) -> Iterator[Arm]:
    """Give arms the grippers that a source named, in order, where it named one for each."""
    for i, arm in enumerate(arms):
        yield Arm(arm.position, arm.rotation, arm.joints, grippers[i] if len(grippers) == len(arms) else None)


def _names(dim: int, arms: Sequence[Arm]) -> tuple[str, ...]:
    names = [""] * dim
    sides = [""] if len(arms) == 1 else [f"{side} " for side in ("left", "right", "third", "fourth")]
    for side, arm in zip(sides, arms, strict=False):
        turns = _ROTATION if len(arm.rotation) == 3 else _ROTATION[-1:]
        own = dict(zip(arm.position, _POSITION, strict=False)) | dict(zip(arm.rotation, turns, strict=False))
        own |= {index: f"joint {i}" for i, index in enumerate(arm.joints)}
        if arm.gripper is not None:
            own[arm.gripper] = "gripper"
        for index, name in own.items():
            names[index] = f"{side}{name}"
    return tuple(names)


def _units(encoding: str, dim: int, arms: Sequence[Arm], grippers: Sequence[int]) -> tuple[str, ...]:
    """House units of what a layout names."""
    per_s = "_per_s" if encoding in VELOCITIES else ""
    units = [UNKNOWN] * dim
    for arm in arms:
        for indices, unit in ((arm.position, "metres"), (arm.rotation + arm.joints, "radians")):
            for i in indices:
                units[i] = f"{unit}{per_s}"
    if encoding != "joint_velocity":  # the speed of a gripper is no opening
        for i in grippers:
            units[i] = "opening"
    return tuple(units)
