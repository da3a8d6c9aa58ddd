"""Which episodes a folder of shards holds, and where the files of their segments lie, as columns.

A segment's files lie one after another in its tar, each behind a header of 512 bytes: the first one's offset and all
sizes tell where each begins. Where that does not hold, as in tars that others wrote, the offsets are kept, too.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataengine.shards.manifest import (
    GROUP,
    DamagedShardsError,
    Manifest,
    ShardEntry,
    check_there,
    damaged,
    index_of,
    read_index,
)
from dataengine.shared_table import shared_table
from dataengine.windows.episode_columns import Rows, Setup, arrange, distinct, spell_ids
from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.said import spell_texts

_FACTS: Final = ("dataset", "dataset_id", "embodiment", "embodiment_id", "kind", "control_hz", "split")
_SEGMENT: Final = "segment"
"""Further column of the episodes: place of the first of their segments."""
_OWN: Final = ("shard", "first", "count", "layout", "begin")
"""Columns of the segments; beside them lists: `sizes`, and `offsets` where they do not follow."""
_LAYOUTS: Final = b"villa:layouts"
"""Key of the metadata that lists the names of files that segments have."""
INDEXES_AT_ONCE: Final = 16
"""That are copied from a store."""
_BETWEEN: Final = "\x1f"
_Lists = list[pa.Array]


@dataclass(frozen=True)
class Stored:
    """One segment at rest."""

    shard: int
    first: int
    count: int
    members: Mapping[str, tuple[int, int]]
    """Offset in the tar and bytes of each file."""


class Segments:
    """Segments of all episodes, by row."""

    def __init__(self, columns: pa.Table, starts: NDArray[Any]) -> None:
        self._starts, self._num_segments = starts, len(columns)
        self._layouts: list[list[str]] = json.loads(columns.schema.metadata[_LAYOUTS])
        self._own = {name: _whole(columns[name]).to_numpy() for name in _OWN}
        self._sizes, self._offsets = _whole(columns["sizes"]), _whole(columns["offsets"])

    def of(self, row: int) -> list[Stored]:
        """Give those of an episode, in order."""
        return [self._stored(i) for i in self._numbers(row)]

    def shards(self, rows: Iterable[int]) -> set[int]:
        """Say which shards hold some episodes."""
        return {int(self._own["shard"][i]) for row in set(rows) for i in self._numbers(row)}

    def num_bytes(self, row: int, suffix: str) -> int:
        """Count the bytes of an episode's files whose names end so."""
        return sum(n for s in self.of(row) for name, (_, n) in s.members.items() if name.endswith(suffix))

    def _numbers(self, row: int) -> range:
        end = self._starts[row + 1] if row + 1 < len(self._starts) else self._num_segments
        return range(int(self._starts[row]), int(end))

    def _stored(self, number: int) -> Stored:
        own = {name: int(values[number]) for name, values in self._own.items()}
        sizes, offsets = self._sizes[number].values.to_pylist(), self._offsets[number].as_py()
        if offsets is None:
            offsets = own["begin"] + np.cumsum([0, *(BLOCKSIZE + _padded(size) for size in sizes)])
        spans = zip(self._layouts[own["layout"]], zip(map(int, offsets), sizes, strict=False), strict=True)
        return Stored(own["shard"], own["first"], own["count"], dict(spans))


def read_segments(
    directory: Path, known: Manifest, copy_index: Callable[[ShardEntry], object] | None = None
) -> tuple[EpisodeTable, Segments]:
    """Read the indexes of all shards, or find what was read of them before; raise DamagedShardsError where one is.

    Where shards lie elsewhere `copy_index` gets an index into the directory.
    """
    for entry in known.shards if copy_index is None else ():
        check_there(directory, entry)
    made: list[tuple[pa.Table, pa.Table]] = []

    def make(which: int) -> pa.Table:
        if not made:
            with ThreadPoolExecutor(INDEXES_AT_ONCE, "copy") as pool:
                list(pool.map(copy_index, known.shards) if copy_index else ())
            made.append(_make(directory, known))
        return made[0][which]

    # Without checksums, as in folders of version 2, nothing says that indexes are still the same.
    num_rows = known.num_samples if known.checksum else 0
    episodes, segments = (
        shared_table(f"shards {what} {known.checksum}", num_rows, partial(make, which))
        for which, what in enumerate(("episodes", "segments"))
    )
    table = EpisodeTable(episodes)
    return table, Segments(segments, table.numbers(_SEGMENT))


def _make(directory: Path, known: Manifest) -> tuple[pa.Table, pa.Table]:
    """Lay out the episodes and their segments."""
    layouts: dict[str, int] = {}
    lists: tuple[_Lists, _Lists] = ([], [])
    table = arrange(_pieces(directory, known, layouts, lists))
    ids, setups = spell_ids(_whole(table["id"])), EpisodeTable(table).setups
    datasets = pa.array([s.dataset for s in setups], pa.string()).take(_whole(table["setup"]))
    begins = np.append(True, _changes(ids) | _changes(datasets))[: len(table)]
    order = np.lexsort((_whole(table["first"]).to_numpy(), np.cumsum(begins)))
    table, starts = table.take(pa.array(order)), np.flatnonzero(begins)
    episodes = table.take(pa.array(starts)).drop_columns([*_OWN, "sample"])
    episodes = episodes.append_column(_SEGMENT, pa.array(starts.astype(np.uint32)))
    sizes, offsets = (pa.concat_arrays(parts).take(_whole(table["sample"])) for parts in lists)
    small = bool(pc.less(pc.max(sizes.flatten()), 2**32).as_py())
    segments = table.select(list(_OWN))
    segments = segments.append_column("sizes", sizes.cast(pa.list_(pa.uint32())) if small else sizes)
    segments = segments.append_column("offsets", offsets)
    names = [name.split(_BETWEEN) for name in layouts]
    segments = segments.replace_schema_metadata({_LAYOUTS: json.dumps(names).encode()})
    _check(directory, EpisodeTable(episodes.combine_chunks()), segments, names)
    return episodes, segments


def _pieces(directory: Path, known: Manifest, layouts: dict[str, int], lists: tuple[_Lists, _Lists]) -> Iterator[Rows]:
    """Read one index after another; note the `layouts` of samples, and their sizes and offsets."""
    num_samples = 0
    for number, entry in enumerate(known.shards):
        index = read_index(directory, entry)
        with damaged(index_of(directory, entry)):
            setups, setup = _setups(index)
            names = pc.binary_join(_whole(index["members"]), _BETWEEN).to_pylist()
            begin, sizes, offsets = _spans(index)
            steps = index["num_steps"].to_numpy()
            lists[0].append(sizes)
            lists[1].append(offsets)
            piece = Rows(
                ids=_whole(index["episode_id"]),
                num_steps=steps,
                setups=setups,
                setup=setup,
                groups=_whole(index[GROUP.name]).fill_null("") if GROUP.name in index.column_names else _empty(index),
                texts=spell_texts(index, np.zeros(len(index), np.int64), steps),
                more={
                    "shard": np.full(len(index), number, np.int32),
                    "first": index["first"].to_numpy().astype(np.int32),
                    "count": index["count"].to_numpy().astype(np.int32),
                    "layout": np.array([layouts.setdefault(name, len(layouts)) for name in names], np.int32),
                    "begin": begin,
                    "sample": np.arange(num_samples, num_samples + len(index)),
                },
            )
        yield piece
        num_samples += len(index)


def _setups(index: pa.Table) -> tuple[list[Setup], NDArray[np.int64]]:
    """Find the setups of an index, and which each row has."""
    facts: dict[str, pa.Array] = {name: _whole(index[name]) for name in _FACTS}
    cameras = _whole(index["cameras"])
    first, which = distinct([*facts.values(), pc.binary_join(cameras, _BETWEEN)], len(index))
    rows = pa.table({**facts, "cameras": cameras}).take(pa.array(first)).to_pylist()
    return [Setup(**{**row, "cameras": tuple(row["cameras"])}) for row in rows], which


def _spans(index: pa.Table) -> tuple[NDArray[np.int64], pa.Array, pa.Array]:
    """Give where the files of each sample begin (e,), their sizes, and their offsets where those do not follow."""
    sizes, offsets = _whole(index["sizes"]), _whole(index["offsets"])
    lengths = pc.list_value_length(sizes).to_numpy()
    flat_sizes, flat_offsets = sizes.flatten().to_numpy(), offsets.flatten().to_numpy()
    ends = np.cumsum(lengths)
    begin = np.zeros(len(index), np.int64)
    begin[lengths > 0] = flat_offsets[(ends - lengths)[lengths > 0]]
    sample = np.repeat(np.arange(len(index)), lengths)
    follows = flat_offsets[1:] == flat_offsets[:-1] + _padded(flat_sizes[:-1]) + BLOCKSIZE
    odd = np.zeros(len(index), np.bool_)
    odd[sample[1:][~follows & (sample[1:] == sample[:-1])]] = True
    kept = pc.if_else(pa.array(odd), offsets, pa.scalar(None, offsets.type))
    return begin, sizes, kept


def _check(directory: Path, episodes: EpisodeTable, segments: pa.Table, layouts: Sequence[Sequence[str]]) -> None:
    """Raise DamagedShardsError for an episode of which something is missing."""
    first, count, layout = (segments[name].to_numpy().astype(np.int64) for name in ("first", "count", "layout"))
    starts, steps = episodes.numbers(_SEGMENT).astype(np.int64), episodes.num_steps
    ends = np.append(starts[1:], len(segments)) - 1
    expected = np.append(0, first + count)[:-1]
    expected[starts] = 0
    of_episode = np.repeat(np.arange(len(starts)), ends + 1 - starts)
    gaps = np.bincount(of_episode, first != expected, minlength=len(starts)).astype(np.bool_)
    gaps |= (first + count)[ends] != steps
    for row in np.flatnonzero(gaps)[:1].tolist():
        what = f"holds {first[ends[row]] + count[ends[row]]} of its {steps[row]} steps, or some of them twice"
        raise DamagedShardsError(directory, f"episode {episodes[row].episode_id} {what}")
    kinds, where = np.unique(np.stack([layout, episodes.setup[of_episode]]), axis=1, return_index=True)
    for (names, setup), at in zip(kinds.T.tolist(), where.tolist(), strict=True):
        wanted = {
            f"{word}_{slot}.{kind}"
            for slot in episodes.setups[setup].cameras
            for word, kind in (("frames", "bin"), ("offsets", "npy"))
        }
        if not wanted <= set(layouts[names]):
            raise DamagedShardsError(directory, f"episode {episodes[int(of_episode[at])].episode_id} lacks pictures")


def _changes(column: pa.Array) -> NDArray[np.bool_]:
    """(e - 1,) tell where a value is not that before it."""
    return pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)


def _padded(size: Any) -> Any:
    return -(-size // BLOCKSIZE) * BLOCKSIZE


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _empty(index: pa.Table) -> pa.Array:
    return pa.array([""] * len(index), pa.string())
