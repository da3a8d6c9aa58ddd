"""The numbers of many episodes at once, for stages that judge by them: no pictures, no loop over episodes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.ragged import Ragged

NUMBER_COLUMNS = (
    *("episode_id", "dataset", "embodiment", "kind", "control_hz", "num_steps", "instruction", "time_ns"),
    *("state", "state_dim", "action", "action_dim", "state_encoding", "action_encoding"),
)
"""Columns of `episodes.lance` that `EpisodeRows` is made of."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Episodes of one layout: the same dimensions and encodings of state and action."""

    rows: NDArray[np.int64]
    """(e,) which episodes of the `EpisodeRows` these are."""
    control_hz: NDArray[np.float64]
    """(e,)"""
    state: Ragged | None
    """(n, s) float32, one row a step."""
    action: Ragged | None
    """(n, a) float32; row i was taken after observation i."""
    state_encoding: str
    action_encoding: str
    shared: dict[str, Any] = field(default_factory=dict)
    """What stages that share a computation keep here."""


class EpisodeRows:
    """Some episodes of a fragment."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table.combine_chunks()
        self.kind: list[str] = table["kind"].to_pylist()
        self.num_steps = _numbers(table["num_steps"]).astype(np.int64)
        """(e,)"""
        self.control_hz = _numbers(table["control_hz"])
        """(e,) steps in a second."""

    def __len__(self) -> int:
        return len(self.num_steps)

    @cached_property
    def instruction(self) -> list[list[str]]:
        """Texts of each episode."""
        return [texts or [] for texts in self._table["instruction"].to_pylist()]

    @cached_property
    def time_ns(self) -> Ragged:
        """(n,) nanoseconds since each episode's first step."""
        return _ragged(self._table["time_ns"], np.arange(len(self)))

    def damaged(self) -> dict[int, str]:
        """Rows whose arrays are not as long as their steps say, each with what is wrong."""
        found: dict[int, str] = {}
        for name in ("time_ns", "state", "action"):
            dims = 1 if name == "time_ns" else _numbers(self._table[f"{name}_dim"]).astype(np.int64)
            lengths = np.nan_to_num(_numbers(_lengths(self._table[name])), nan=0).astype(np.int64)
            for row in np.flatnonzero(lengths != self.num_steps * dims):
                steps = f"{self.num_steps[row]} steps"
                found.setdefault(int(row), f"{name} holds {lengths[row]} numbers, expected those of {steps}")
        return found

    @cached_property
    def vectors(self) -> list[Vectors]:
        """The episodes that have a state or an action, by layout."""
        layouts: dict[tuple[Any, ...], list[int]] = {}
        names = ("state_dim", "action_dim", "state_encoding", "action_encoding")
        for row, layout in enumerate(zip(*(self._table[name].to_pylist() for name in names), strict=True)):
            if layout[0] or layout[1]:
                layouts.setdefault(layout, []).append(row)
        return [self._vectors(np.array(rows), *layout) for layout, rows in layouts.items()]

    def _vectors(
        self,
        rows: NDArray[np.int64],
        state_dim: int | None,
        action_dim: int | None,
        state: str | None,
        action: str | None,
    ) -> Vectors:
        return Vectors(
            rows=rows,
            control_hz=self.control_hz[rows],
            state=_ragged(self._table["state"], rows, state_dim) if state_dim else None,
            action=_ragged(self._table["action"], rows, action_dim) if action_dim else None,
            state_encoding=state or "none",
            action_encoding=action or "none",
        )

    def nan(self) -> NDArray[np.float64]:
        """(e,) NaN: what a number is until it is found to have a meaning."""
        return np.full(len(self), np.nan)


def rows_of(table: pa.Table, rows: Sequence[int] | NDArray[np.int64]) -> EpisodeRows:
    """Take some rows of a table of `NUMBER_COLUMNS`."""
    return EpisodeRows(table if len(rows) == len(table) else table.take(pa.array(rows, pa.int64())))


def _numbers(column: Any) -> NDArray[np.float64]:
    return column.to_numpy(zero_copy_only=False).astype(np.float64) if len(column) else np.zeros(0)


def _lengths(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.fill_null(pc.list_value_length(column), 0)


def _ragged(column: pa.ChunkedArray, rows: NDArray[np.int64], dim: int = 0) -> Ragged:
    """View a list column's rows as one array (n, dim), or (n,) without a dim."""
    taken = column if len(rows) == len(column) else column.take(pa.array(rows))
    array = taken.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    flat, ends = (
        array.flatten().to_numpy(zero_copy_only=False),
        np.concatenate([[0], np.cumsum(_numbers(_lengths(array)))]),
    )
    starts = ends.astype(np.int64)
    return Ragged(flat.reshape(-1, dim), starts // dim) if dim else Ragged(flat, starts)
