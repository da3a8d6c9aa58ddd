"""The source's own numbers, side by side and untouched: what float64 cannot hold is kept beside it.

Every float, every flag and every whole number up to 2^53 is exact as float64. Larger ones, such as a wall clock in
nanoseconds since 1970, are kept as int64 too, value by value of the vector that needs it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataengine.episode import Episode
from dataengine.errors import RecordError

EXACT: Final = 2**53
"""Up to here float64 has every whole number."""

SMALL: Final = tuple(np.dtype(name) for name in ("float32", "float16", "int16", "uint16", "int8", "uint8", "bool"))
"""What float32 holds exactly."""


@dataclass(frozen=True)
class Raw:
    """Numbers of t steps."""

    values: NDArray[Any]
    """(t, d) float32 where that is exact, else float64."""
    exact: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)
    """Which of the d are rounded in `values`, each with its (t,) true numbers."""

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, steps: slice) -> "Raw":
        """Cut some steps out."""
        return Raw(self.values[steps], {i: whole[steps] for i, whole in self.exact.items()})


def fields_of(name: str, raw: NDArray[Any] | Raw | None) -> dict[str, Any]:
    """Give the fields of an Episode that hold `raw_state` or `raw_action`."""
    if raw is None:
        return {name: None}
    whole = untouched(raw)
    return {name: np.ascontiguousarray(whole.values), f"{name}_exact": whole.exact}


def raw_of(episode: Episode, name: str) -> Raw:
    """Read `raw_state` or `raw_action` off an episode that has it."""
    return Raw(getattr(episode, name), getattr(episode, f"{name}_exact"))


def untouched(*columns: NDArray[Any] | Raw) -> Raw:
    """Put arrays of (t,), (t, n) or (t, n, m) numbers side by side."""
    parts = [column if isinstance(column, Raw) else _part(column) for column in columns]
    exact, width = dict[int, NDArray[np.int64]](), 0
    for part in parts:
        exact |= {width + i: whole for i, whole in part.exact.items()}
        width += part.values.shape[1]
    return Raw(np.concatenate([part.values for part in parts], axis=1), exact)


def _part(column: NDArray[Any]) -> Raw:
    rows = column.reshape(len(column), -1) if len(column) else column.reshape(0, int(np.prod(column.shape[1:])))
    if rows.dtype in SMALL:
        return Raw(rows.astype(np.float32))
    if rows.dtype.kind not in "iuf":
        raise RecordError(f"found {rows.dtype}, expected numbers")
    values = rows.astype(np.float64)
    if rows.dtype.kind == "f" or rows.dtype.itemsize < 8 or not len(rows):
        return Raw(values)
    wide = np.flatnonzero((values.max(axis=0) >= EXACT) | (values.min(axis=0) <= -EXACT)).tolist()
    if rows.dtype.kind == "u" and rows[:, wide].max(initial=0) > np.iinfo(np.int64).max:
        raise RecordError(f"found {rows[:, wide].max()}, expected whole numbers below 2^63")
    return Raw(values, {i: rows[:, i].astype(np.int64) for i in wide})
