"""Statistics of states and actions that merge: count, mean, M2, extremes and a quantile sketch, in one pass.

An `Accumulator` belongs to one group of episodes (dataset, embodiment, column). Groups merge in any grouping to the
same moments up to rounding, so an episode group that is added later never asks for a second pass over the others.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.vector_layout import FACTORS, VectorLayout
from dataengine.windows.quantile_sketch import Floats, QuantileSketch

COLUMNS: Final = ("state", "action", "raw_state", "raw_action")
"""Columns of `episodes.lance` that have statistics."""

MOVES: Final = ("eef_delta", "eef_velocity", "joint_delta", "joint_velocity")
"""Encodings whose numbers are changes or rates; those of `STANDS` are places."""
STANDS: Final = ("eef_pose", "joint_position")

_FIELDS: Final = ("mean", "std", "min", "max", "q01", "q99")

_LARGEST: Final = float(np.finfo(np.float32).max)

OPENING_SLACK: Final = 0.01
"""How far an opening may lie outside 0 to 1: encoders overshoot."""


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
    grippers: tuple[int, ...] = ()
    """Which of the dimensions are openings of grippers, 0 closed to 1 open; their values do lie there."""
    moves: tuple[int, ...] | None = None
    """In which of the dimensions 0 means to stand still: changes and rates. None where the encoding does not tell."""
    encoding: str = ""
    """What the vector is (`eef_delta` ...); empty where datasets differ, and in files from before."""
    names: tuple[str, ...] = ()
    """(d,) of the values; empty where datasets differ, and in files from before."""
    units: tuple[str, ...] = ()
    """(d,) likewise; see `dataengine.vector_layout`."""
    rank_error: float = 0.0
    """The 1 % quantile lies within 1 % +- this share of the steps, the 99 % quantile likewise."""

    @property
    def dim(self) -> int:
        """Dimensions d; 0 for an embodiment without that vector."""
        return len(self.mean)

    @classmethod
    def none(cls) -> "Statistics":
        """Statistics of a vector that the embodiment does not have."""
        numbers: dict[str, Any] = {name: np.zeros(0) for name in _FIELDS}
        return cls(count=0, **numbers)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists, for `json.dumps`; floats survive the round trip exactly."""
        numbers = {name: getattr(self, name).tolist() for name in _FIELDS}
        moves = None if self.moves is None else list(self.moves)
        dims = {"grippers": list(self.grippers), "moves": moves}
        layout = {"encoding": self.encoding, "names": list(self.names), "units": list(self.units)}
        known = {key: value for key, value in layout.items() if value}
        return {"count": self.count, **numbers, **dims, **known, "rank_error": self.rank_error}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Statistics":
        """Undo `to_json`; raise ValueError for what it never wrote."""
        numbers: dict[str, Any] = {name: np.array(data[name], dtype=np.float64) for name in _FIELDS}
        shapes = {value.shape for value in numbers.values()}
        if len(shapes) > 1 or len(shapes.pop()) != 1 or not all(np.isfinite(value).all() for value in numbers.values()):
            raise ValueError(f"{', '.join(_FIELDS)} are not as many finite numbers each")
        if (numbers["q99"] < numbers["q01"]).any():
            raise ValueError("q99 lies below q01")
        # Older files do not say; they were normalised as arms of seven values.
        grippers = data.get("grippers", VectorLayout.of("eef_pose", len(numbers["mean"])).grippers)
        moves = data.get("moves")
        if any(not isinstance(i, int) or not 0 <= i < len(numbers["mean"]) for i in (*grippers, *(moves or ()))):
            raise ValueError(f"grippers {grippers} or moves {moves} are no dimensions of {len(numbers['mean'])}")
        names, units = (tuple(map(str, data.get(key, ()))) for key in ("names", "units"))
        if any(texts and len(texts) != len(numbers["mean"]) for texts in (names, units)):
            raise ValueError(f"{len(names)} names and {len(units)} units of {len(numbers['mean'])} dimensions")
        return cls(
            count=int(data["count"]),
            grippers=tuple(grippers),
            encoding=str(data.get("encoding", "")),
            names=names,
            units=units,
            moves=None if moves is None else tuple(moves),
            rank_error=float(data.get("rank_error", 0.0)),
            **numbers,
        )


@dataclass(frozen=True, kw_only=True)
class EmbodimentStatistics:
    """Statistics of one embodiment over every dataset that has it, in canonical vectors and house units."""

    state: Statistics
    action: Statistics
    num_episodes: int = 0
    datasets: tuple[str, ...] = ()
    by_dataset: Mapping[str, "EmbodimentStatistics"] = field(default_factory=dict)
    """The same of each dataset alone, which is what models are given; empty in files from before, or where a model was
    trained on the statistics of the embodiment as a whole."""

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, lists and strings, for `json.dumps`."""
        return {
            "state": self.state.to_json(),
            "action": self.action.to_json(),
            "num_episodes": self.num_episodes,
            "datasets": list(self.datasets),
            **(
                {"by_dataset": {name: one.to_json() for name, one in self.by_dataset.items()}}
                if self.by_dataset
                else {}
            ),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EmbodimentStatistics":
        """Undo `to_json`; raise DataEngineError for what it never wrote."""
        try:
            return cls(
                state=Statistics.from_json(data["state"]),
                action=Statistics.from_json(data["action"]),
                num_episodes=int(data["num_episodes"]),
                datasets=tuple(map(str, data["datasets"])),
                by_dataset={str(name): cls.from_json(one) for name, one in data.get("by_dataset", {}).items()},
            )
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise DataEngineError(f"statistics are damaged ({reason}); copy the file that holds them again") from error


@dataclass(kw_only=True)
class Accumulator:
    """Mergeable statistics of one vector. Rows with a value that is not finite are counted and left out."""

    dim: int
    count: int
    """Steps seen, without those left out."""
    num_episodes: int
    num_not_finite: int
    """Steps left out."""
    not_finite: NDArray[np.int64]
    """(d,) of these, how many are not finite in a dimension."""
    not_finite_in: str
    """One of the episodes that have such: of those told of, that with the smallest id; empty for none."""
    mean: Floats
    m2: Floats
    """Sum of squared deviations from the mean."""
    min: Floats
    max: Floats
    sketch: QuantileSketch

    @classmethod
    def empty(cls, dim: int) -> "Accumulator":
        """Nothing seen yet."""
        gaps: dict[str, Any] = {"num_not_finite": 0, "not_finite": np.zeros(dim, np.int64), "not_finite_in": ""}
        moments: dict[str, Any] = {
            "mean": np.zeros(dim),
            "m2": np.zeros(dim),
            "min": np.full(dim, np.inf),
            "max": np.full(dim, -np.inf),
        }
        sketch = QuantileSketch(dim=dim)
        return cls(dim=dim, count=0, num_episodes=0, sketch=sketch, **gaps, **moments)

    def add(self, rows: NDArray[np.floating[Any]], num_episodes: int = 1) -> NDArray[np.bool_]:
        """Take in the steps (n, dim) of some episodes, and say which (n,) are left out.

        The more at once, the smaller the rank error.
        """
        gaps = ~np.isfinite(rows)
        left_out = gaps.any(axis=1)
        self.num_not_finite += int(left_out.sum())
        self.not_finite = self.not_finite + gaps.sum(axis=0)
        self.num_episodes += num_episodes
        wide = rows[~left_out].astype(np.float64)
        if len(wide):
            mean = wide.mean(axis=0)
            self._merge_moments(len(wide), mean, ((wide - mean) ** 2).sum(axis=0), wide.min(axis=0), wide.max(axis=0))
            self.sketch.add(np.clip(wide, -_LARGEST, _LARGEST).astype(np.float32))
        return left_out

    def tell_of(self, episode_id: str) -> None:
        """Note an episode of which steps were left out."""
        self.not_finite_in = min(self.not_finite_in or episode_id, episode_id)

    def merge(self, other: "Accumulator") -> None:
        """Take in another group of the same dimensions."""
        if other.dim != self.dim:
            raise ValueError(f"cannot merge statistics of {other.dim} dimensions into {self.dim}")
        self.num_episodes += other.num_episodes
        self.num_not_finite += other.num_not_finite
        self.not_finite = self.not_finite + other.not_finite
        if other.not_finite_in:
            self.tell_of(other.not_finite_in)
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
            rank_error=self.sketch.rank_error,
        )


@dataclass(frozen=True, kw_only=True)
class ColumnStatistics:
    """Statistics of one column of the kept episodes that one dataset recorded with one embodiment."""

    dataset: str
    embodiment: str
    column: str
    """One of `COLUMNS`."""
    layout: VectorLayout | None = None
    """What the values are; None of raw vectors, of which nobody says it."""
    accumulator: Accumulator

    @property
    def encoding(self) -> str:
        """What the vector is (`eef_pose` ...); empty for raw vectors."""
        return self.layout.encoding if self.layout else ""

    @property
    def grippers(self) -> tuple[int, ...]:
        """Places that the layout calls openings of grippers, whatever values they hold."""
        return self.layout.grippers if self.layout else ()

    @property
    def openings(self) -> tuple[int, ...]:
        """Of the grippers those whose values are openings; others are a width, an effort or a flag."""
        return openings(self.may_be_openings, self.accumulator)

    @property
    def may_be_openings(self) -> tuple[int, ...]:
        """Of the grippers those that nobody says to be given in percent or in metres."""
        units = self.layout.units if self.layout else ()
        return tuple(i for i in self.grippers if units[i] == "opening" or units[i] not in FACTORS)

    @property
    def moves(self) -> tuple[int, ...] | None:
        """In which dimensions 0 means to stand still; a gripper is told where to be, whatever the arm is told."""
        if self.encoding in STANDS:
            return ()
        if self.encoding in MOVES:
            return tuple(i for i in range(self.accumulator.dim) if i not in self.grippers)
        return None


def openings(grippers: Iterable[int], seen: Accumulator) -> tuple[int, ...]:
    """Keep the places whose values all lie between 0 and 1."""
    least, most = -OPENING_SLACK, 1 + OPENING_SLACK
    return tuple(i for i in sorted(grippers) if seen.count and seen.min[i] >= least and seen.max[i] <= most)


def by_embodiment(groups: Iterable[ColumnStatistics]) -> dict[str, EmbodimentStatistics]:
    """Merge groups of each embodiment, and of each of its datasets; those without vectors (human hands) are left out.

    Raise DataEngineError where datasets give one embodiment vectors of different widths.
    """
    vectors: dict[tuple[str, str], list[ColumnStatistics]] = {}
    for group in groups:
        if group.column in ("state", "action"):
            vectors.setdefault((group.embodiment, group.column), []).append(group)
    result = {}
    for name in sorted({name for name, _ in vectors}):
        states, actions = (vectors.get((name, column), []) for column in ("state", "action"))
        datasets = sorted({group.dataset for group in (*states, *actions)})
        by_dataset = {
            dataset: _body(*([group for group in some if group.dataset == dataset] for some in (states, actions)))
            for dataset in datasets
        }
        result[name] = replace(_body(states, actions), by_dataset=by_dataset)
    return result


def _body(states: Sequence[ColumnStatistics], actions: Sequence[ColumnStatistics]) -> EmbodimentStatistics:
    """Merge the groups of one embodiment's vectors."""
    (state, num_states), (action, num_actions) = (
        _merge(groups) if groups else (Statistics.none(), 0) for groups in (states, actions)
    )
    return EmbodimentStatistics(
        state=state,
        action=action,
        num_episodes=max(num_states, num_actions),
        datasets=tuple(sorted({group.dataset for group in (*states, *actions)})),
    )


def _merge(groups: Sequence[ColumnStatistics]) -> tuple[Statistics, int]:
    """Give the statistics of one vector of one embodiment, and how many episodes have it."""
    by_dim: dict[int, set[str]] = {}
    for group in groups:
        by_dim.setdefault(group.accumulator.dim, set()).add(group.dataset)
    if len(by_dim) > 1:
        said = " but ".join(f"{dim} values in {', '.join(sorted(names))}" for dim, names in sorted(by_dim.items()))
        raise DataEngineError(
            f"embodiment '{groups[0].embodiment}' has {groups[0].column}s of {said}, expected one layout; "
            f"give some of these datasets another embodiment name and ingest them again"
        )
    total = Accumulator.empty(next(iter(by_dim)))
    for group in groups:
        total.merge(group.accumulator)
    grippers = set.intersection(*(set(group.may_be_openings) for group in groups))
    moves = {group.moves for group in groups}
    agreed = moves.pop() if len(moves) == 1 else None
    layouts = {(group.encoding, group.layout.names, group.layout.units) for group in groups if group.layout}
    encoding, names, units = layouts.pop() if len(layouts) == 1 else ("", (), ())
    return replace(
        total.statistics(),
        grippers=openings(grippers, total),
        moves=agreed,
        encoding=encoding,
        names=names,
        units=units,
    ), total.num_episodes


def dumps(stats: Mapping[str, EmbodimentStatistics]) -> str:
    """Statistics by embodiment as JSON text, as checkpoints and shards carry them."""
    return json.dumps({name: one.to_json() for name, one in stats.items()}, indent=1)


def loads(text: str) -> dict[str, EmbodimentStatistics]:
    """Undo `dumps`."""
    return {name: EmbodimentStatistics.from_json(one) for name, one in json.loads(text).items()}
