"""Whether rows are sound in themselves: identity, lengths, numbers, and offsets that cut their blobs."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from dataengine.digest import stable_id
from dataengine.episode import CAMERA_SLOTS
from dataengine.hands.hands import SHAPES
from dataengine.schema import HANDS, RAW, VECTORS, exact_column, exact_dims_column, frames_column, offsets_column


class Problem(NamedTuple):
    """What is wrong with a row of a batch."""

    row: int
    what: str


def row_problems(batch: pa.RecordBatch, registries: Mapping[str, Mapping[str, int]]) -> Iterator[Problem]:
    """Check a batch, column by column."""
    yield from _identity(batch)
    for name, known in registries.items():
        names, numbers = batch[name].to_pylist(), batch[f"{name}_id"].to_pylist()
        for row, (known_name, number) in enumerate(zip(names, numbers, strict=True)):
            if known.get(known_name) != number:
                yield Problem(
                    row, f"{name} '{known_name}' has id {number} here, {known.get(known_name)} in {name}s.lance"
                )
    steps = batch["num_steps"].to_numpy()
    for row in _rows(steps < 1):
        yield Problem(row, f"num_steps is {steps[row]}")
    times = _Lists(batch["time_ns"])
    for row in _rows(times.lengths != steps):
        yield Problem(row, f"time_ns has {times.lengths[row]} values for {steps[row]} steps")
    for row in times.rows_with(times.falls(strictly=True)):
        yield Problem(row, "time_ns goes back")
    if "texts" in batch.schema.names:
        yield from _texts(batch, steps)
    for name in VECTORS:
        yield from _vector(batch, name, steps)
    for name in RAW:
        if exact_column(name) in batch.schema.names:
            yield from _exact(batch, name, steps)
    if HANDS[0].name in batch.schema.names:
        yield from _hands(batch, steps)
    for slot in CAMERA_SLOTS:
        yield from _camera(batch, slot, steps)


class _Lists:
    """A list column as its values (numpy) and the length of each row's list."""

    def __init__(self, column: pa.ListArray) -> None:
        self.lengths: NDArray[np.int64] = pc.list_value_length(column).fill_null(0).to_numpy().astype(np.int64)
        self.values = column.flatten().to_numpy(zero_copy_only=False)
        self.ends = np.cumsum(self.lengths)

    def rows_with(self, marked: NDArray[np.bool_]) -> list[int]:
        """Rows that have a marked value."""
        return np.unique(np.searchsorted(self.ends, np.flatnonzero(marked), side="right")).tolist()

    def falls(self, *, strictly: bool) -> NDArray[np.bool_]:
        """Mark values that are less than the one before in their row, or not `strictly`: not greater."""
        steps = np.diff(self.values, prepend=self.values[:1])
        marked = steps < 0 if strictly else steps <= 0
        marked[(self.ends - self.lengths)[self.lengths > 0]] = False
        return marked


def _rows(marked: ArrayLike) -> list[int]:
    return np.flatnonzero(marked).tolist()


def _identity(batch: pa.RecordBatch) -> Iterator[Problem]:
    names = [batch[name].to_pylist() for name in ("episode_id", "dataset", "source_record")]
    for row, (episode_id, dataset, record) in enumerate(zip(*names, strict=True)):
        if episode_id != stable_id(dataset, record):
            yield Problem(row, f"its id is not the hash of {dataset} and {record}")


def _texts(batch: pa.RecordBatch, steps: NDArray[np.int32]) -> Iterator[Problem]:
    """Check that texts say something, at steps that there are, and that they are the row's instructions."""
    for row, texts in enumerate(batch["texts"].to_pylist()):
        if texts is None:  # from before there were spans
            continue
        for text in texts:
            start, end, phrases = text["start"], text["end"], text["phrases"]
            if None in (start, end) or not 0 <= start < end <= steps[row]:
                yield Problem(row, f"a text holds for steps {start} to {end} of {steps[row]}")
            if not phrases or not all(phrases):
                yield Problem(row, f"a text of steps {start} to {end} says nothing")
        said = list(dict.fromkeys(phrase for text in texts for phrase in text["phrases"] or ()))
        if said != (batch["instruction"][row].as_py() or []):
            yield Problem(row, "its instruction is not what its texts say")


def _vector(batch: pa.RecordBatch, name: str, steps: NDArray[np.int32]) -> Iterator[Problem]:
    lists, dims = _Lists(batch[name]), batch[f"{name}_dim"].to_numpy()
    valid = batch[name].is_valid().to_numpy(zero_copy_only=False)
    wrong = (lists.lengths != steps.astype(np.int64) * dims) | ((dims == 0) == valid)
    for row in _rows(wrong):
        yield Problem(row, f"{name} has {lists.lengths[row]} values for {steps[row]} steps of {dims[row]}")
    if name in RAW:  # gaps of a sensor are kept as published
        return
    for row in lists.rows_with(~np.isfinite(lists.values)):
        if not wrong[row]:
            yield Problem(row, f"{name} is not finite")


def _exact(batch: pa.RecordBatch, name: str, steps: NDArray[np.int32]) -> Iterator[Problem]:
    """Check that exact values are of a vector's values, and of all steps."""
    lists, dims = _Lists(batch[exact_column(name)]), _Lists(batch[exact_dims_column(name)])
    for row in _rows(lists.lengths != steps.astype(np.int64) * dims.lengths):
        yield Problem(row, f"{name} has {lists.lengths[row]} exact values for {steps[row]} steps")
    for row in dims.rows_with(dims.values >= np.repeat(batch[f"{name}_dim"].to_numpy(), dims.lengths)):
        yield Problem(row, f"{name} has exact values of more dimensions than it has")


def _hands(batch: pa.RecordBatch, steps: NDArray[np.int32]) -> Iterator[Problem]:
    """Check that columns of hands have a value for each side and step, and NaN where a hand is absent."""
    sides = _Lists(batch["hands_sides"]).lengths
    present = _Lists(batch["hands_present"])
    sizes = {f"hands_{name}": int(np.prod(shape)) for name, shape in SHAPES.items()}
    columns = {name: _Lists(batch[name]) for name in sizes} | {"hands_camera": _Lists(batch["hands_camera"])}
    wanted = {name: sides * steps * size for name, size in sizes.items()} | {"hands_camera": steps * 7}
    wrong = present.lengths != sides * steps
    for row in _rows(wrong):
        yield Problem(
            row, f"hands_present has {present.lengths[row]} values for {sides[row]} sides of {steps[row]} steps"
        )
    for name, lists in columns.items():
        there = batch[name].is_valid().to_numpy(zero_copy_only=False)
        off = there & (lists.lengths != wanted[name])
        for row in _rows(off):
            yield Problem(row, f"{name} has {lists.lengths[row]} values, expected {wanted[name][row]}")
        if name in sizes and not wrong.any() and not off.any():
            of_there = np.repeat(there, present.lengths)
            absent = np.repeat(~present.values.astype(bool)[of_there], sizes[name])
            for row in lists.rows_with(absent & ~np.isnan(lists.values)):
                yield Problem(row, f"{name} has numbers where a hand is absent")


def _camera(batch: pa.RecordBatch, slot: str, steps: NDArray[np.int32]) -> Iterator[Problem]:
    """Check that a camera is there or not as a whole, and that its offsets cut its blob."""
    sizes = [f"{name}_{slot}" for name in ("height", "width", "native_height", "native_width")]
    names = [frames_column(slot), offsets_column(slot), *sizes]
    valid = np.stack([batch[name].is_valid().to_numpy(zero_copy_only=False) for name in names])
    for row in _rows(valid.any(axis=0) & ~valid.all(axis=0)):
        yield Problem(row, f"camera {slot} lacks {', '.join(np.array(names)[~valid[:, row]])}")
    offsets = _Lists(batch[offsets_column(slot)])
    blob_sizes = batch[frames_column(slot)].field("size").fill_null(0).to_numpy()
    not_rising = set(offsets.rows_with(offsets.falls(strictly=False)))
    for row in _rows(valid.all(axis=0)):
        count, end = offsets.lengths[row], offsets.ends[row]
        if count != steps[row] + 1:
            yield Problem(row, f"camera {slot} has {count} offsets for {steps[row]} steps")
        elif offsets.values[end - count] != 0 or row in not_rising:
            yield Problem(row, f"offsets of camera {slot} do not rise from 0")
        elif offsets.values[end - 1] != blob_sizes[row]:
            last = offsets.values[end - 1]
            yield Problem(row, f"offsets of camera {slot} end at {last}, its blob has {blob_sizes[row]} bytes")
