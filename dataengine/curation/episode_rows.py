"""The numbers of many episodes at once, for stages that check by them: no pictures, no loop over episodes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.curation.ragged import Ragged
from dataengine.digest import hasher
from dataengine.episode import CAMERA_SLOTS
from dataengine.schema import checksum_column
from dataengine.vector_layout import VectorLayout, layout_of

CUT_COLUMNS = ("video", "label_start_s", "label_end_s")
HAND_COLUMNS = ("hands_source", "hands_present")
SPARSE = "annotators"
"""Source of hands that tells of a few frames alone."""
NUMBER_COLUMNS = (
    *("episode_id", "dataset", "embodiment", "kind", "control_hz", "num_steps", "instruction", "time_ns"),
    *("state", "state_dim", "action", "action_dim", "state_encoding", "action_encoding", "notes"),
    *(f"height_{slot}" for slot in CAMERA_SLOTS),
    *(checksum_column(slot) for slot in CAMERA_SLOTS),
    *CUT_COLUMNS,
    *HAND_COLUMNS,
)
"""Columns of `episodes.lance` that `EpisodeRows` is made of; tables from before there were
checksums, clips, or hands, lack the last."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Episodes of which states and actions mean the same."""

    rows: NDArray[np.int64]
    """(e,) which episodes of the `EpisodeRows` these are."""
    control_hz: NDArray[np.float64]
    """(e,)"""
    state: Ragged | None
    """(n, s) float32, one row a step."""
    action: Ragged | None
    """(n, a) float32; row i was taken after observation i."""
    state_layout: VectorLayout
    """What the values of the state are."""
    action_layout: VectorLayout
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

    @property
    def notes(self) -> list[str | None]:
        """Notes of each episode, as JSON."""
        return list(self._table["notes"].to_pylist())

    @cached_property
    def cuts(self) -> list[tuple[str, float, float] | None]:
        """Video and range of the label, seconds, of each clip of a longer video; None for others."""
        if not set(CUT_COLUMNS) <= set(self._table.column_names):
            return [None] * len(self)
        columns = (self._table[name].to_pylist() for name in CUT_COLUMNS)
        return [None if video is None else (video, start, end) for video, start, end in zip(*columns, strict=True)]

    @cached_property
    def hands_share(self) -> NDArray[np.float64]:
        """(e,) share of the steps at which a hand is there; NaN where nobody tells of hands step by step."""
        share = np.full(len(self), np.nan)
        if not set(HAND_COLUMNS) <= set(self._table.column_names):
            return share
        hands = zip(*(self._table[name].to_pylist() for name in HAND_COLUMNS), strict=True)
        for row, (source, present) in enumerate(hands):
            if source not in (None, SPARSE) and present and len(present) % self.num_steps[row] == 0:
                share[row] = np.reshape(present, (-1, self.num_steps[row])).any(axis=0).mean()
        return share

    @cached_property
    def time_ns(self) -> Ragged:
        """(n,) nanoseconds since each episode's first step."""
        return _ragged(self._table["time_ns"], np.arange(len(self)))

    def damaged(self) -> dict[int, str]:
        """Rows whose arrays are not as long as their steps say, each with what is wrong."""
        problems: dict[int, str] = {}
        for name in ("time_ns", "state", "action"):
            dims = 1 if name == "time_ns" else _numbers(self._table[f"{name}_dim"]).astype(np.int64)
            lengths = np.nan_to_num(_numbers(_lengths(self._table[name])), nan=0).astype(np.int64)
            for row in np.flatnonzero(lengths != self.num_steps * dims):
                steps = f"{self.num_steps[row]} steps"
                problems.setdefault(int(row), f"{name} holds {lengths[row]} numbers, expected those of {steps}")
        return problems

    @cached_property
    def vectors(self) -> list[Vectors]:
        """The episodes that have a state or an action, by what their values are."""
        alike: dict[tuple[Any, ...], list[int]] = {}
        names = ("notes", "dataset", "embodiment", "state_dim", "action_dim", "state_encoding", "action_encoding")
        for row, facts in enumerate(zip(*(self._table[name].to_pylist() for name in names), strict=True)):
            alike.setdefault(facts, []).append(row)
        by_layouts: dict[tuple[VectorLayout, VectorLayout], list[int]] = {}
        for (notes, dataset, embodiment, *dims, state, action), rows in alike.items():
            if any(dims):
                about = {"dataset": dataset, "embodiment": embodiment}
                both = (("state", state, dims[0] or 0), ("action", action, dims[1] or 0))
                first, second = (layout_of(column, said, dim, notes, **about) for column, said, dim in both)
                by_layouts.setdefault((first, second), []).extend(rows)
        return [self._vectors(np.sort(rows), *layouts) for layouts, rows in by_layouts.items()]

    def _vectors(self, rows: NDArray[np.int64], state: VectorLayout, action: VectorLayout) -> Vectors:
        return Vectors(
            rows=rows,
            control_hz=self.control_hz[rows],
            state=_ragged(self._table["state"], rows, state.dim) if state.dim else None,
            action=_ragged(self._table["action"], rows, action.dim) if action.dim else None,
            state_layout=state,
            action_layout=action,
        )

    def contents(self) -> list[list[int]]:
        """Hash states, actions and pictures of each episode; empty where there is nothing, or no checksum of a camera.

        Equal hashes mean that all of it is equal, byte for byte.
        """
        vectors = [_flat(self._table[name]) for name in ("state", "action")]
        pictures = [(self._table[f"height_{slot}"], self._checksums(slot)) for slot in CAMERA_SLOTS]
        encodings = zip(*(self._table[f"{name}_encoding"].to_pylist() for name in ("state", "action")), strict=True)
        cameras: list[list[tuple[str, int, int | None]]] = [[] for _ in range(len(self))]
        for slot, (sizes, sums) in zip(CAMERA_SLOTS, pictures, strict=True):
            if sizes.null_count < len(self):
                for there, size, crc in zip(cameras, sizes.to_pylist(), sums.to_pylist(), strict=True):
                    there += [(slot, size, crc)] if size is not None else []
        (state, state_ends), (action, action_ends) = ((memoryview(v.data).cast("B"), 4 * ends) for v, ends in vectors)
        begins, stops = (
            (state_ends[piece].tolist(), action_ends[piece].tolist()) for piece in (slice(-1), slice(1, None))
        )
        ends = zip(begins[0], stops[0], begins[1], stops[1], strict=True)
        digests: list[list[int]] = []
        for steps, there, meaning, (a, b, c, d) in zip(self.num_steps.tolist(), cameras, encodings, ends, strict=True):
            if any(camera[2] is None for camera in there) or not (there or b > a or d > c):
                digests.append([])
                continue
            # Numbers alone are told apart by what they mean.
            digest = hasher(f"{steps} {b - a} {d - c} {there or meaning}")
            digest.update(state[a:b])
            digest.update(action[c:d])
            digests.append([int.from_bytes(digest.digest(), "big", signed=True)])
        return digests

    def _checksums(self, slot: str) -> pa.ChunkedArray:
        """(e,) checksums of a camera's pictures; NULL where they are not known."""
        name = checksum_column(slot)
        return self._table[name] if name in self._table.column_names else pa.chunked_array([pa.nulls(len(self))])

    def nan(self) -> NDArray[np.float64]:
        """(e,) NaN: what a number is until it is found to have a meaning."""
        return np.full(len(self), np.nan)


def rows_of(table: pa.Table, rows: Sequence[int] | NDArray[np.int64]) -> EpisodeRows:
    """Take some rows of a table of `NUMBER_COLUMNS`."""
    return EpisodeRows(table if len(rows) == len(table) else table.take(pa.array(rows, pa.int64())))


def _numbers(column: Any) -> NDArray[np.float64]:
    return column.to_numpy(zero_copy_only=False).astype(np.float64) if len(column) else np.zeros(0)


def _flat(column: pa.ChunkedArray) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Values (n,) of a list column one after another, and the e + 1 boundaries of its rows."""
    lengths = np.nan_to_num(_numbers(_lengths(column)), nan=0).astype(np.int64)
    array = column.combine_chunks()
    flat = (array.flatten() if len(array) else array.values).to_numpy(zero_copy_only=False)
    return flat.astype(np.float32, copy=False), np.concatenate([[0], np.cumsum(lengths)])


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
