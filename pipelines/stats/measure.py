"""Statistics of one fragment, remembered: only a fragment that is new, or curated anew, is read again.

What was found of a fragment lies below `_cache/stats` of the corpus, named by a hash over the files that hold its
vectors (Lance never writes to a file twice), its deleted rows, and which of its episodes and steps count.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.digest import hasher
from dataengine.storage import Folder
from dataengine.store import Corpus, kept
from dataengine.vector_layout import VectorLayout, layout_of
from dataengine.windows import quantile_sketch, stats, stats_table
from dataengine.windows.stats import Accumulator, ColumnStatistics

FORMAT: Final = 2
"""Rises when what is remembered changes its meaning."""

_FACTS = ("dataset", "embodiment", "num_steps", "notes")
_VECTORS = (
    *(name for column in stats.COLUMNS for name in (column, f"{column}_dim")),
    *("state_encoding", "action_encoding"),
)


class Key(NamedTuple):
    """What must agree for two episodes to share statistics."""

    dataset: str
    embodiment: str
    column: str
    dim: int
    layout: VectorLayout | None
    """None of raw vectors."""


@dataclass
class StatsTally:
    """Statistics of some fragments."""

    kept: int = 0
    left_out: int = 0
    """Episodes that curation dropped."""
    robots: int = 0
    """Kept episodes with a state or an action, if only a raw one."""
    trimmed: int = 0
    """Steps of kept episodes that curation cut off."""
    groups: dict[Key, Accumulator] = field(default_factory=dict)

    def merge(self, other: "StatsTally") -> None:
        """Take in other fragments."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for key, accumulator in other.groups.items():
            self.groups.setdefault(key, Accumulator.empty(key.dim)).merge(accumulator)

    def as_groups(self) -> list[ColumnStatistics]:
        """Give the groups as `stats.lance` has them."""
        return [
            ColumnStatistics(
                **{name: getattr(key, name) for name in ("dataset", "embodiment", "column", "layout")},
                accumulator=accumulator,
            )
            for key, accumulator in self.groups.items()
        ]

    def to_bytes(self) -> bytes:
        """Write it down."""
        table, sink = stats_table.to_table(self.as_groups()), pa.BufferOutputStream()
        counts = json.dumps({name: getattr(self, name) for name in _COUNTS})
        with pa.ipc.new_file(sink, table.schema.with_metadata({"counts": counts})) as writer:
            writer.write_table(table)
        return sink.getvalue().to_pybytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "StatsTally":
        """Undo `to_bytes`."""
        table = pa.ipc.open_file(data).read_all()
        counts: Mapping[str, int] = json.loads(table.schema.metadata[b"counts"])
        groups = {
            Key(g.dataset, g.embodiment, g.column, g.accumulator.dim, g.layout): g.accumulator
            for g in stats_table.from_table(table)
        }
        return cls(**counts, groups=groups)


_COUNTS = ("kept", "left_out", "robots", "trimmed")


@dataclass(frozen=True, kw_only=True)
class FragmentChoice(kept.KeptSteps):
    """Which steps of a fragment count, and the name under which its statistics are remembered."""

    name: str


class Remembered:
    """What earlier calls found, by the name of a fragment's `FragmentChoice`."""

    def __init__(self, corpus: Corpus) -> None:
        self._folder = Folder(f"{corpus.uri}/_cache/stats")
        self._there = self._folder.sizes()
        self._used: set[str] = set()

    def get(self, name: str) -> StatsTally | None:
        """Give what was found, if it was."""
        self._used.add(name)
        if name not in self._there:
            return None
        try:
            return StatsTally.from_bytes(self._folder.read(name))
        except (OSError, ValueError, KeyError, TypeError):  # not whole: the fragment is read again
            return None

    def put(self, name: str, tally: StatsTally) -> None:
        """Remember; where nothing can be written the next call reads again."""
        with contextlib.suppress(OSError):
            self._folder.write(name, tally.to_bytes())

    def forget_others(self) -> None:
        """Remove what no fragment asked for."""
        for name in self._there.keys() - self._used:
            with contextlib.suppress(OSError):
                self._folder.delete(name)


def choose(corpus: Corpus, fragment_id: int) -> FragmentChoice:
    """Read what curation says of a fragment, and no vector."""
    chosen = corpus.kept(fragment_id=fragment_id).choice
    identity = [FORMAT, quantile_sketch.SKETCH_SIZE, corpus.fragment_files(fragment_id, (*_FACTS, *_VECTORS))]
    digest = hasher(json.dumps(identity), 16)
    for numbers in (chosen.mask, chosen.head, chosen.tail):
        digest.update(numbers.tobytes())
    return FragmentChoice(name=f"{digest.hexdigest()}.arrow", **vars(chosen))


def measure(corpus: Corpus, fragment_id: int, choice: FragmentChoice) -> StatsTally:
    """Read the vectors of a fragment, a column at a time."""
    plain = corpus.fragment_table(fragment_id, _FACTS)
    steps = plain["num_steps"].to_numpy().astype(np.int64)
    first, stop = choice.head, np.maximum(steps - choice.tail, choice.head)
    cut = (steps - (stop - first))[choice.mask]
    tally = StatsTally(kept=int(choice.mask.sum()), left_out=int((~choice.mask).sum()), trimmed=int(cut.sum()))
    robots = np.zeros(len(plain), bool)
    for column in stats.COLUMNS:
        is_raw = column.startswith("raw_")
        names = [f"{column}_dim"] if is_raw else [f"{column}_dim", f"{column}_encoding"]
        about = corpus.fragment_table(fragment_id, names)
        dims = about[f"{column}_dim"].fill_null(0).to_numpy()
        wanted = choice.mask & (dims > 0)
        robots |= wanted
        if not wanted.any():
            continue
        vectors = corpus.fragment_table(fragment_id, [column])[column].combine_chunks()
        for key, rows in _split(plain, about, column, np.flatnonzero(wanted)):
            values, owners = _steps(vectors, rows, key.dim, first[rows], stop[rows])
            seen = tally.groups.setdefault(key, Accumulator.empty(key.dim))
            left_out = seen.add(values, num_episodes=len(rows))
            if left_out.any():
                ids = corpus.fragment_table(fragment_id, ["episode_id"])["episode_id"]
                seen.tell_of(min(ids[row].as_py() for row in set(owners[left_out].tolist())))
    tally.robots = int(robots.sum())
    return tally


def _split(
    plain: pa.Table, about: pa.Table, column: str, wanted: NDArray[np.int64]
) -> Iterator[tuple[Key, NDArray[np.int64]]]:
    """Say which of the wanted rows share statistics."""
    is_raw, members = column.startswith("raw_"), dict[Key, list[int]]()
    chosen = [plain[name].to_pylist() for name in ("dataset", "embodiment", "notes")]
    dims = about[f"{column}_dim"].to_pylist()
    encodings = [""] * len(dims) if is_raw else about[f"{column}_encoding"].to_pylist()
    for i in wanted.tolist():
        dataset, embodiment, notes = (distinct[i] for distinct in chosen)
        layout = (
            None if is_raw else layout_of(column, encodings[i], dims[i], notes, dataset=dataset, embodiment=embodiment)
        )
        members.setdefault(Key(dataset, embodiment, column, dims[i], layout), []).append(i)
    yield from ((key, np.array(rows)) for key, rows in members.items())


def _steps(
    vectors: Any, rows: NDArray[np.int64], dim: int, first: NDArray[np.int64], stop: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(n, dim) steps first to before stop of some rows of a flat list column, and of which row (n,) each is."""
    offsets, flat = vectors.offsets.to_numpy().astype(np.int64), vectors.values.to_numpy(zero_copy_only=False)
    # Of a damaged row no more than it has: `villa corpus verify` tells of it.
    stop = np.minimum(stop, (offsets[rows + 1] - offsets[rows]) // dim)
    begins, lengths = offsets[rows] // dim + first, np.maximum(stop - first, 0)
    if (offsets[rows] % dim == 0).all():
        inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        usable = flat[: len(flat) // dim * dim].reshape(-1, dim)
        return usable[np.repeat(begins, lengths) + inside], np.repeat(rows, lengths)
    # Vectors of another width lie before these.
    pieces = [
        flat[offsets[r] : offsets[r + 1]].reshape(-1, dim)[a:b] for r, a, b in zip(rows, first, stop, strict=True)
    ]
    return np.concatenate(pieces), np.repeat(rows, [len(piece) for piece in pieces])
