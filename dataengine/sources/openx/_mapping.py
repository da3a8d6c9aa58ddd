"""The mapping of `openx/auto`: a YAML that says which feature of an RLDS dataset is what.

Keys are written as below `steps` (`observation/state`); texts and the success flag may lie beside `steps`
(`episode_metadata/success`). Numbers are scaled, then converted, then put side by side.
"""

import re
from collections.abc import Callable, Iterator
from itertools import permutations
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from dataengine import conventions
from dataengine.config import MOST_HZ, Config
from dataengine.episode import Encoding
from dataengine.errors import SourceError
from dataengine.formats import features, yaml_file
from dataengine.naming import did_you_mean
from dataengine.storage import is_uri

FILL_IN = "FILL_IN"
"""What a proposal leaves to the user."""

Slot = Literal["primary", "secondary", "wrist", "wrist_2"]
ONE = re.compile(r"-?\d+")
SLICE = re.compile(r"(-?\d+)?:(-?\d+)?")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Keys = Annotated[list[str], BeforeValidator(_as_list)]


class Conversion(NamedTuple):
    """One way to read some columns."""

    about: str
    width: int | None
    """How many columns it takes; None for any number."""
    apply: Callable[[NDArray], NDArray]

    def num_values(self, num_columns: int) -> int:
        """Count what comes out: a rotation of any form is roll pitch yaw."""
        return num_columns if self.width in (None, 1) else 3


def _of_axes(axes: str) -> Conversion:
    return Conversion(f"about axes {axes}", 3, lambda angles: conventions.euler_of_axes_to_euler(angles, axes))


CONVERSIONS: dict[str, Conversion] = {
    "none": Conversion("as they are, in metres or radians", None, lambda x: x),
    "degrees": Conversion("to radians", None, np.radians),
    "millimetres": Conversion("to metres", None, lambda x: x / 1000.0),
    "euler": Conversion("roll pitch yaw about fixed axes, radians", 3, lambda x: x),
    **{f"euler_{''.join(p)}": _of_axes("".join(p)) for p in permutations("xyz")},
    **{f"euler_{''.join(p)}": _of_axes("".join(p)) for p in permutations("XYZ")},
    "quaternion_xyzw": Conversion("to roll pitch yaw", 4, conventions.quaternion_to_euler),
    "quaternion_wxyz": Conversion(
        "to roll pitch yaw", 4, lambda q: conventions.quaternion_to_euler(q[:, [1, 2, 3, 0]])
    ),
    "axis_angle": Conversion("axis times angle to roll pitch yaw", 3, conventions.axis_angle_to_euler),
    "matrix": Conversion(
        "3x3 row by row to roll pitch yaw", 9, lambda m: conventions.matrix_to_euler(m.reshape(-1, 3, 3))
    ),
    "gripper_01_opens": Conversion("0 closed to 1 open", 1, lambda x: np.clip(x, 0.0, 1.0)),
    "gripper_01_closes": Conversion("0 open to 1 closed", 1, lambda x: 1.0 - np.clip(x, 0.0, 1.0)),
    "gripper_pm1_opens": Conversion("-1 closed to +1 open", 1, conventions.open_from_opening),
    "gripper_pm1_closes": Conversion("-1 open to +1 closed", 1, conventions.open_from_closing),
    "gripper_moves": Conversion("+1 close, -1 open, near 0 hold", 1, lambda x: conventions.open_from_relative(x[:, 0])),
    "gripper_decided": Conversion(
        "0 closed to 1 open, what lies between takes the next decided value",
        1,
        lambda x: conventions.open_by_look_ahead(x[:, 0]),
    ),
}


class Camera(Config):
    """Where a camera's images are."""

    key: str
    bgr: bool = False
    """The publisher swapped red and blue."""


class MappedColumns(Config):
    """Some numbers of a feature, and what they are."""

    key: str
    columns: str | list[int] = ":"
    """`"0:3"`, `"6"`, or a list in the order that is wanted; of a matrix, row by row."""
    scale: float = Field(1.0, ge=-1e9, le=1e9)
    """Factor before the conversion."""
    convert: str = "none"
    names: Keys = Field(default_factory=list, exclude_if=lambda names: not names)
    """What the values that come out are called, one for each; fingerprints of mappings without names stay."""

    @field_validator("columns")
    @classmethod
    def _readable(cls, value: str | list[int]) -> str | list[int]:
        if isinstance(value, str) and not (ONE.fullmatch(value) or SLICE.fullmatch(value)):
            raise ValueError('expected "0:3", "6" or a list of columns')
        return value

    @field_validator("convert")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in CONVERSIONS:
            raise ValueError(f"no such conversion; {did_you_mean(value, sorted(CONVERSIONS))}")
        return value

    def picked(self, width: int) -> list[int]:
        """List the columns among `width`; raise SourceError where there are none such."""
        if isinstance(self.columns, list):
            picked = self.columns
        elif ONE.fullmatch(self.columns):
            picked = [int(self.columns)]
        else:
            start, _, stop = self.columns.partition(":")
            ends = [int(end) for end in (start, stop) if end]
            if any(abs(end) > width for end in ends):
                raise SourceError(f"has no columns '{self.columns}', only {width}")
            picked = list(range(width))[int(start) if start else None : int(stop) if stop else None]
        if not picked or any(not -width <= column < width for column in picked):
            raise SourceError(f"has no columns '{self.columns}', only {width}")
        return picked

    def take(self, values: NDArray) -> NDArray:
        """Turn the feature (t, ...) into canonical columns (t, n)."""
        table = values.reshape(len(values), prod(values.shape[1:])).astype(np.float64)
        return CONVERSIONS[self.convert].apply(table[:, self.picked(table.shape[1])] * self.scale)


class Success(Config):
    """Which episodes succeeded; of a feature below `steps` the last step counts."""

    key: str
    at_least: float | None = Field(None, ge=-1e9, le=1e9)
    """Of a number or flag."""
    contains: str | None = None
    """Of a text, in any case."""


def _as_camera(value: Any) -> Any:
    return {"key": value} if isinstance(value, str) else value


class Mapping(Config):
    """All that a source file would say."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    """The corpus calls the dataset `openx/<name>`."""
    embodiment: str = Field(min_length=1)
    control_hz: float = Field(gt=0, le=MOST_HZ)
    licence: str = "see publisher"
    cameras: dict[Slot, Annotated[Camera, BeforeValidator(_as_camera)]] = Field(min_length=1)
    instruction: Keys = Field(default_factory=list)
    state_encoding: Encoding = "none"
    state: list[MappedColumns] = Field(default_factory=list)
    action_encoding: Encoding
    action: list[MappedColumns] = Field(min_length=1)
    raw_state: Keys = Field(default_factory=list)
    """Features that are kept untouched; without any, those that `state` reads."""
    raw_action: Keys = Field(default_factory=list)
    first_step: int = Field(0, ge=0, le=1_000_000)
    """Steps to leave out at the start of every episode."""
    success: Success | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.state) != (self.state_encoding != "none"):
            raise ValueError("state and state_encoding belong together; give both or neither")
        if self.action_encoding == "none":
            raise ValueError("action_encoding: 'none' is for clips without actions")
        return self

    @property
    def raw_state_keys(self) -> list[str]:
        """Features of raw_state, in order."""
        return self.raw_state or list(dict.fromkeys(item.key for item in self.state))

    @property
    def raw_action_keys(self) -> list[str]:
        """Features of raw_action, in order."""
        return self.raw_action or list(dict.fromkeys(item.key for item in self.action))


def load(given: str) -> Mapping:
    """Read a mapping; raise SourceError in one line where it is wrong or unfinished."""
    path = given if is_uri(given) else str(Path(given).expanduser())
    try:
        # As plain strings: YAML itself takes an unquoted 3:6 for a number of base 60, and `no` for false.
        raw = yaml_file.read(path, yaml.BaseLoader)
    except OSError as error:
        raise SourceError(f"mapping {given}: {error.strerror or error}; expected a YAML file") from error
    except yaml.YAMLError as error:
        raise SourceError(f"mapping {given}: no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise SourceError(f"mapping {given}: found {type(raw).__name__}, expected settings such as 'control_hz: 10'")
    if unfinished := [where for where, value in _values(raw) if value == FILL_IN]:
        raise SourceError(f"mapping {given}: {', '.join(unfinished)} still to fill in; its comments say with what")
    try:
        return Mapping.model_validate(raw)
    except ValidationError as error:
        raise SourceError(f"mapping {given}: {_first(error)}") from None


def check(mapping: Mapping, schema: features.FeaturesDict, where: str) -> None:
    """Raise SourceError when the mapping names what features.json does not hold, with the nearest that it does."""
    known = {key: (leaf, levels) for key, leaf, levels in features.leaves(schema)}
    for slot, camera in mapping.cameras.items():
        picture = _feature(camera.key, "image", known, f"{where}: cameras.{slot}", beside=False)
        if not camera.key.startswith("observation/") or picture.dtype != "uint8":
            raise SourceError(f"{where}: cameras.{slot}: '{camera.key}' is no colour image below observation")
    for key in mapping.instruction:
        _feature(key, "text", known, f"{where}: instruction", lists=True)
    for name in ("state", "action"):
        for i, item in enumerate(getattr(mapping, name)):
            key_path = f"{where}: {name}[{i}]"
            width = _width(_feature(item.key, "number", known, key_path, beside=False), item.key, key_path)
            try:
                num_columns = len(item.picked(width))
            except SourceError as error:
                raise SourceError(f"{key_path}: '{item.key}' {error}") from None
            way = CONVERSIONS[item.convert]
            if way.width is not None and num_columns != way.width:
                raise SourceError(f"{key_path}: {item.convert} takes {way.width} columns, found {num_columns}")
            num_values = way.num_values(num_columns)
            if item.names and len(item.names) != num_values:
                raise SourceError(
                    f"{key_path}: found {len(item.names)} names of {num_values} values, expected one for each"
                )
        for key in getattr(mapping, f"raw_{name}"):
            key_path = f"{where}: raw_{name}"
            _width(_feature(key, "number", known, key_path, beside=False), key, key_path)
    if (rule := mapping.success) is not None:
        if (rule.at_least is None) == (rule.contains is None):
            raise SourceError(f"{where}: success: give one of at_least (of a number) and contains (of a text)")
        _feature(rule.key, "number" if rule.contains is None else "text", known, f"{where}: success")


def _feature(
    key: str, kind: str, known: dict[str, Any], where: str, *, beside: bool = True, lists: bool = False
) -> features.Leaf:
    """Find a feature of a kind by its key, at every step or `beside` them; with `lists` it may have several values."""
    for full, depth in ((f"steps/{key}", 1), (key, 0 if beside else None)):
        if full in known and depth is not None and len(known[full][1]) in (depth, depth + lists):
            leaf: features.Leaf = known[full][0]
            if leaf.kind != kind:
                raise SourceError(f"{where}: '{key}' is of kind {leaf.kind}, expected {kind}")
            return leaf
    names = {
        full.removeprefix("steps/")
        for full, (leaf, levels) in known.items()
        if leaf.kind == kind and len(levels) == full.startswith("steps/") and (beside or full.startswith("steps/"))
    }
    raise SourceError(f"{where}: features.json has no {kind} '{key}'; {did_you_mean(key, sorted(names))}")


def _width(leaf: features.Leaf, key: str, where: str) -> int:
    """Count the numbers of a step."""
    if None in leaf.shape:
        raise SourceError(f"{where}: '{key}' has shape {leaf.shape}, expected a fixed one")
    return prod(size or 0 for size in leaf.shape)


def _values(node: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Walk the values of a YAML tree, each with its place."""
    match node:
        case dict():
            for key, value in node.items():
                yield from _values(value, f"{where}.{key}" if where else str(key))
        case list():
            for i, value in enumerate(node):
                yield from _values(value, f"{where}[{i}]")
        case _:
            yield where, node


def _first(error: ValidationError) -> str:
    """Say the first thing that is wrong in one line."""
    first = error.errors(include_url=False)[0]
    keys = [str(key) for key in first["loc"]]
    where = "".join(f"[{key}]" if key.isdigit() else f".{key}" for key in keys).lstrip(".")
    if first["type"] == "extra_forbidden":
        known = (*Mapping.model_fields, *MappedColumns.model_fields, *Camera.model_fields, *Success.model_fields)
        return f"no setting '{where}'; {did_you_mean(keys[-1], sorted(known))}"
    if first["type"] == "missing":
        return f"'{where}' is missing"
    wanted = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    return f"{where}: found {first['input']!r:.80}, {wanted}" if where else wanted
