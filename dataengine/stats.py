"""Statistics of states and actions that merge: count, mean, M2, extremes and a quantile sketch, in one pass.

An `Accumulator` belongs to one group of episodes (dataset, embodiment, column). Groups merge in any grouping to the
same moments up to rounding, so an episode group that is added later never asks for a second pass over the others.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.errors import DataEngineError

SKETCH_SIZE: Final = 4096
"""Values a sketch level holds per dimension before it is thinned; below that quantiles are exact."""

COLUMNS: Final = ("state", "action", "raw_state", "raw_action")
"""Columns of `episodes.lance` that have statistics."""

_FIELDS: Final = ("mean", "std", "min", "max", "q01", "q99")

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What a normaliser needs to know about the d dimensions of one vector; every array is (d,)."""

    count: int
    """Steps seen."""
    mean: Floats
    std: Floats
    """Population standard deviation."""
    min: Floats
    max: Floats
    q01: Floats
    q99: Floats

    @property
    def dim(self) -> int:
        """Dimensions d; 0 for an embodiment without that vector."""
        return len(self.mean)

    @classmethod
    def none(cls) -> "Statistics":
        """Statistics of a vector that the embodiment does not have."""
        return cls(count=0, **{name: np.zeros(0) for name in _FIELDS})

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists, for `json.dumps`; floats survive the round trip exactly."""
        return {"count": self.count, **{name: getattr(self, name).tolist() for name in _FIELDS}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Statistics":
        """Undo `to_json`."""
        return cls(count=int(data["count"]), **{name: np.array(data[name], dtype=np.float64) for name in _FIELDS})


@dataclass(frozen=True, kw_only=True)
class EmbodimentStatistics:
    """Statistics of one robot body over every dataset that has it, in canonical vectors and house units."""

    state: Statistics
    action: Statistics
    num_episodes: int = 0
    datasets: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, lists and strings, for `json.dumps`."""
        return {
            "state": self.state.to_json(),
            "action": self.action.to_json(),
            "num_episodes": self.num_episodes,
            "datasets": list(self.datasets),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EmbodimentStatistics":
        """Undo `to_json`."""
        return cls(
            state=Statistics.from_json(data["state"]),
            action=Statistics.from_json(data["action"]),
            num_episodes=int(data["num_episodes"]),
            datasets=tuple(data["datasets"]),
        )


@dataclass
class QuantileSketch:
    """Quantiles of a stream of vectors in bounded memory, deterministic, with a certified rank error.

    Level h holds rows that stand for 2^h steps each. A level of `size` rows is sorted by column and every second row
    moves up, the even and the odd ones in turn, so that their errors cancel (Manku, Rajagopalan and Lindsay 1998).
    A thinning at level h moves no rank by more than 2^h; `rank_error` sums that up for the data really seen. A priori
    it is at most log2(n / size) / size of n steps (0.4 % for 2^28 steps); on random orders it stays 10 times below.
    """

    dim: int
    size: int = SKETCH_SIZE
    levels: list[NDArray[np.float32]] = field(default_factory=list)
    """(rows, dim) by level, unsorted."""
    odd: list[bool] = field(default_factory=list)
    """Which half the next thinning of a level keeps."""
    max_shift: int = 0
    """No rank is off by more steps than this."""

    @property
    def count(self) -> int:
        """Steps that the rows stand for."""
        return sum(len(rows) << h for h, rows in enumerate(self.levels))

    @property
    def rank_error(self) -> float:
        """Bound on the rank error as a share of the steps: the 1 % quantile lies within 1 % +- this."""
        return self.max_shift / max(self.count, 1)

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take in rows (n, dim)."""
        self._put(0, rows)
        self._thin()

    def merge(self, other: "QuantileSketch") -> None:
        """Take in another sketch of the same dimensions."""
        for h, rows in enumerate(other.levels):
            self._put(h, rows)
        self.max_shift += other.max_shift
        self._thin()

    def _put(self, level: int, rows: NDArray[np.float32]) -> None:
        while len(self.levels) <= level:
            self.levels.append(np.zeros((0, self.dim), dtype=np.float32))
            self.odd.append(False)
        self.levels[level] = np.concatenate([self.levels[level], rows])

    def _thin(self) -> None:
        level = 0
        while level < len(self.levels):
            if len(self.levels[level]) >= self.size:
                rows = np.sort(self.levels[level], axis=0)
                even = len(rows) // 2 * 2
                self._put(level + 1, rows[int(self.odd[level]) : even : 2])
                self.levels[level] = rows[even:].copy()
                self.odd[level] = not self.odd[level]
                self.max_shift += 1 << level
            level += 1

    def quantile(self, q: float) -> Floats:
        """Value (dim,) at share q of the sorted steps, between neighbours linearly as `numpy.quantile` does."""
        weights = np.concatenate([np.full(len(rows), 1 << h, dtype=np.int64) for h, rows in enumerate(self.levels)])
        rows = np.concatenate(self.levels)
        order = np.argsort(rows, axis=0, kind="stable")
        values = np.take_along_axis(rows, order, axis=0).astype(np.float64)
        ends = np.cumsum(weights[order], axis=0)
        place = q * (self.count - 1)
        below, out = int(place), np.empty(self.dim)
        for j in range(self.dim):
            low, high = np.searchsorted(ends[:, j], [below, min(below + 1, self.count - 1)], side="right")
            out[j] = values[low, j] + (place - below) * (values[high, j] - values[low, j])
        return out


@dataclass(kw_only=True)
class Accumulator:
    """Mergeable statistics of one vector. Rows with a value that is not finite are counted and left out."""

    dim: int
    count: int
    """Steps seen, without those left out."""
    num_episodes: int
    num_not_finite: int
    """Steps left out."""
    mean: Floats
    m2: Floats
    """Sum of squared deviations from the mean."""
    min: Floats
    max: Floats
    sketch: QuantileSketch

    @classmethod
    def empty(cls, dim: int) -> "Accumulator":
        """Nothing seen yet."""
        moments = {
            "mean": np.zeros(dim),
            "m2": np.zeros(dim),
            "min": np.full(dim, np.inf),
            "max": np.full(dim, -np.inf),
        }
        sketch = QuantileSketch(dim=dim)
        return cls(dim=dim, count=0, num_episodes=0, num_not_finite=0, sketch=sketch, **moments)

    def add(self, rows: NDArray[np.floating[Any]], num_episodes: int = 1) -> None:
        """Take in the steps (n, dim) of some episodes; the more at once, the smaller the rank error."""
        finite = np.isfinite(rows).all(axis=1)
        self.num_not_finite += int((~finite).sum())
        self.num_episodes += num_episodes
        kept = rows[finite].astype(np.float32)
        if len(kept) == 0:
            return
        wide = kept.astype(np.float64)
        mean = wide.mean(axis=0)
        self._merge_moments(len(wide), mean, ((wide - mean) ** 2).sum(axis=0), wide.min(axis=0), wide.max(axis=0))
        self.sketch.add(kept)

    def merge(self, other: "Accumulator") -> None:
        """Take in another group of the same dimensions."""
        if other.dim != self.dim:
            raise ValueError(f"cannot merge statistics of {other.dim} dimensions into {self.dim}")
        self.num_episodes += other.num_episodes
        self.num_not_finite += other.num_not_finite
        if other.count:
            self._merge_moments(other.count, other.mean, other.m2, other.min, other.max)
            self.sketch.merge(other.sketch)

    def _merge_moments(self, count: int, mean: Floats, m2: Floats, low: Floats, high: Floats) -> None:
        """Pairwise update by Chan, Golub and LeVeque (1979): no cancellation, however large the mean."""
        total = self.count + count
        delta = mean - self.mean
        self.mean = self.mean + delta * (count / total)
        self.m2 = self.m2 + m2 + delta**2 * (self.count * count / total)
        self.min, self.max = np.minimum(self.min, low), np.maximum(self.max, high)
        self.count = total

    def statistics(self) -> Statistics:
        """Finish: what has been seen so far."""
        if self.count == 0:
            return Statistics.none()
        return Statistics(
            count=self.count,
            mean=self.mean,
            std=np.sqrt(self.m2 / self.count),
            min=self.min,
            max=self.max,
            q01=self.sketch.quantile(0.01),
            q99=self.sketch.quantile(0.99),
        )


@dataclass(frozen=True, kw_only=True)
class Group:
    """Statistics of one column of the kept episodes that one dataset recorded with one embodiment."""

    dataset: str
    embodiment: str
    column: str
    """One of `COLUMNS`."""
    encoding: str
    """What the vector is (`eef_pose` ...); empty for raw vectors."""
    accumulator: Accumulator


SCHEMA: Final = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("dataset", "embodiment", "column", "encoding")),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("dim", "count", "num_episodes", "num_not_finite")),
        *(pa.field(name, pa.list_(pa.float64())) for name in ("mean", "m2", "min", "max")),
        pa.field("sketch", pa.list_(pa.list_(pa.float32()))),  # by level: rows of dim values, flat
        pa.field("sketch_size", pa.int64(), nullable=False),
        pa.field("sketch_odd", pa.list_(pa.bool_())),
        pa.field("sketch_max_shift", pa.int64(), nullable=False),
        *(pa.field(name, pa.list_(pa.float64())) for name in ("std", "q01", "q99")),  # for readers without our code
    ]
)


def to_table(groups: Iterable[Group]) -> pa.Table:
    """Rows of `stats.lance`, in a fixed order, with everything needed to merge them later."""
    rows = []
    for group in sorted(groups, key=lambda g: (g.dataset, g.embodiment, g.column, g.accumulator.dim, g.encoding)):
        a, done = group.accumulator, group.accumulator.statistics()
        row = {name: getattr(group, name) for name in ("dataset", "embodiment", "column", "encoding")}
        row |= {name: getattr(a, name) for name in ("dim", "count", "num_episodes", "num_not_finite")}
        row |= {name: getattr(a, name) for name in ("mean", "m2", "min", "max")}
        row |= {"sketch": [level.reshape(-1) for level in a.sketch.levels], "sketch_size": a.sketch.size}
        row |= {"sketch_odd": a.sketch.odd, "sketch_max_shift": a.sketch.max_shift}
        rows.append(row | {"std": done.std, "q01": done.q01, "q99": done.q99})
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def from_table(table: pa.Table) -> Iterator[Group]:
    """Undo `to_table`."""
    for row in table.to_pylist():
        dim = row["dim"]
        sketch = QuantileSketch(
            dim=dim,
            size=row["sketch_size"],
            levels=[np.array(level, dtype=np.float32).reshape(-1, dim) for level in row["sketch"]],
            odd=list(row["sketch_odd"]),
            max_shift=row["sketch_max_shift"],
        )
        numbers: dict[str, Any] = {name: row[name] for name in ("dim", "count", "num_episodes", "num_not_finite")}
        numbers |= {name: np.array(row[name], dtype=np.float64) for name in ("mean", "m2", "min", "max")}
        accumulator = Accumulator(**numbers, sketch=sketch)
        words = {name: row[name] for name in ("dataset", "embodiment", "column", "encoding")}
        yield Group(**words, accumulator=accumulator)


def by_embodiment(groups: Iterable[Group]) -> dict[str, EmbodimentStatistics]:
    """Merge groups over datasets; embodiments without state and action (human hands) are left out."""
    merged: dict[str, dict[str, Accumulator]] = {}
    first: dict[tuple[str, str], Group] = {}
    datasets: dict[str, set[str]] = {}
    for group in groups:
        if group.column not in ("state", "action"):
            continue
        key = (group.embodiment, group.column)
        known = first.setdefault(key, group)
        if known.accumulator.dim != group.accumulator.dim:
            raise DataEngineError(
                f"embodiment '{group.embodiment}' has {group.column}s of {known.accumulator.dim} values in "
                f"{known.dataset} and of {group.accumulator.dim} in {group.dataset}, expected one layout; "
                f"give one of the two sources another embodiment name and ingest it again"
            )
        columns = merged.setdefault(group.embodiment, {})
        columns.setdefault(group.column, Accumulator.empty(group.accumulator.dim)).merge(group.accumulator)
        datasets.setdefault(group.embodiment, set()).add(group.dataset)
    return {
        name: EmbodimentStatistics(
            state=columns["state"].statistics() if "state" in columns else Statistics.none(),
            action=columns["action"].statistics() if "action" in columns else Statistics.none(),
            num_episodes=max(a.num_episodes for a in columns.values()),
            datasets=tuple(sorted(datasets[name])),
        )
        for name, columns in sorted(merged.items())
    }


def dumps(stats: Mapping[str, EmbodimentStatistics]) -> str:
    """Statistics by embodiment as JSON text, as checkpoints and shards carry them."""
    return json.dumps({name: one.to_json() for name, one in stats.items()}, indent=1)


def loads(text: str) -> dict[str, EmbodimentStatistics]:
    """Undo `dumps`."""
    return {name: EmbodimentStatistics.from_json(one) for name, one in json.loads(text).items()}
