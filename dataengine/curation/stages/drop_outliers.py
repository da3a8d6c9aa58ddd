"""States and actions far beyond what the same embodiment does elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.curation.coverage import Coverage, checked, unchecked
from dataengine.curation.episode_rows import EpisodeRows
from dataengine.curation.stage import Measured, Survey
from dataengine.curation.stages import _spread
from dataengine.episode import Kind
from dataengine.vector_layout import UNKNOWN, VectorLayout

LEAST_WIDTH = MappingProxyType({"eef_pose": 0.2, "eef_delta": 0.02, "eef_velocity": 0.2})
"""Narrowest usual range of a position in metres: a task in a plane hardly moves the third axis, which is no reason to
condemn what does. For other encodings the same of any value, `OTHER_WIDTH`."""
OTHER_WIDTH = 0.5
ANGLE_WIDTH = MappingProxyType({"eef_pose": np.inf, "eef_delta": 0.1, "eef_velocity": 1.0})
"""The same of roll, pitch and yaw in radians; those of a pose wrap, and no value of them is out of range."""
GRIPPER_WIDTH = 1.0
UNKNOWN_SHARE = 0.5
"""Narrowest usual range where the unit is unknown, as a share of the widest that any value of the same kind has: any
position of the same vector, any joint. Grippers and lone values have none to go by, and no limit."""

_BY_OWN: Coverage = checked("by the widest usual range of like values where a unit is unknown, grippers not at all")


@dataclass(frozen=True, kw_only=True)
class DropOutliers:
    """Drop episodes whose state or action leaves the limits of its embodiment.

    A sensor fault, another unit, or a command that a controller cut off. The limits are learnt from the corpus: the
    range that the middle half of all episodes reaches to either side, which a fault in a quarter of them does not move.
    They are learnt for each dataset of a embodiment, as every lab puts its robot elsewhere.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot",)
    columns: ClassVar[tuple[str, ...]] = ()
    signatures: ClassVar[Mapping[str, pa.DataType]] = MappingProxyType({"value_extremes": pa.list_(pa.float32())})
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({"max_excess": "outlier_excess"})

    max_excess: float = 4.0
    """How far beyond the usual range a value may lie, in widths of that range."""
    min_episodes: int = 12
    """Fewest episodes of a embodiment in a dataset that say what is usual; fewer are not checked."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Extremes of every dimension: dimensions of the state, then lowest, highest and least width of all.

        The least width is in the unit of the values, NaN where that is unknown, infinite where there is no limit.
        """
        extremes: list[Any] = [[]] * len(rows)
        for vectors in rows.vectors:
            both = ((vectors.state, vectors.state_layout), (vectors.action, vectors.action_layout))
            lows = np.hstack([v.min() for v, _ in both if v is not None])
            highs = np.hstack([v.max() for v, _ in both if v is not None])
            widths = np.concatenate([_least_widths(layout) for v, layout in both if v is not None])
            states = 0 if vectors.state is None else vectors.state.values.shape[1]
            heads, tails = np.full((len(lows), 1), states), np.tile(widths, (len(lows), 1))
            packed = np.hstack([heads, lows, highs, tails]).astype(np.float32)
            for row, values in zip(vectors.rows, packed, strict=True):
                extremes[row] = values
        return {"value_extremes": extremes}

    def survey(self, episodes: Measured) -> Survey:
        """Learn the usual ranges of every embodiment in every dataset, then look who leaves them."""
        packed = episodes.column("value_extremes")
        sizes = np.asarray(packed.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), np.int64)
        groups: dict[tuple[str, str, int, float, bytes], list[int]] = {}
        flat, starts = packed.flatten().to_numpy(zero_copy_only=False), np.concatenate([[0], np.cumsum(sizes)])
        for row, (embodiment, dataset) in enumerate(zip(episodes.embodiments, episodes.datasets, strict=True)):
            if sizes[row]:
                first, dims = starts[row], (int(sizes[row]) - 1) // 3
                widths = flat[first + 1 + 2 * dims : first + sizes[row]].tobytes()  # says the units, too
                groups.setdefault((embodiment, dataset, dims, float(flat[first]), widths), []).append(row)
        excess, objections, limits = np.full(len(episodes), np.nan), {}, {}
        coverage = dict.fromkeys(np.flatnonzero(sizes == 0).tolist(), unchecked("neither state nor action"))
        for (embodiment, dataset, dims, states, _), members in sorted(groups.items()):
            if len(members) < self.min_episodes:
                coverage |= dict.fromkeys(members, unchecked(_spread.few(self.min_episodes)))
                continue
            rows = np.array(members)
            values = (
                flat[starts[rows][:, None] + np.arange(1, 1 + 3 * dims)].astype(np.float64).reshape(len(rows), 3, -1)
            )
            alike = []
            if np.isnan(values[0, 2]).any():
                alike = _alike(episodes, members[0], int(states))
                coverage |= dict.fromkeys(members, _BY_OWN)
            least = _filled(values, alike)
            low, high, beyond = _ranges(values, least)
            excess[rows] = beyond.max(axis=1)
            slack = self.max_excess * (high - low)
            whose = f"{embodiment} in {dataset}"
            limits[f"{whose}, other units" if whose in limits else whose] = {
                "state_dim": int(states),
                "low": _round(low - slack, np.isfinite(least)),
                "high": _round(high + slack, np.isfinite(least)),
            }
            for row, by_dim, (lows, highs, _) in zip(members, beyond, values, strict=True):
                dim = int(by_dim.argmax())
                if by_dim[dim] > self.max_excess:
                    above = highs[dim] - high[dim] > low[dim] - lows[dim]
                    name, unit = _name(episodes, row, dim, int(states))
                    objections[row] = (
                        f"{name} reaches {highs[dim] if above else lows[dim]:.4g}{unit}, "
                        f"{by_dim[dim]:.1f} widths beyond the usual {low[dim]:.3g} to {high[dim]:.3g} of "
                        f"{embodiment} in {dataset}, allowed {self.max_excess:g}"
                    )
        return Survey(numbers={"outlier_excess": excess}, objections=objections, limits=limits, coverage=coverage)


def _alike(episodes: Measured, row: int, states: int) -> list[list[int]]:
    """Say which dimensions of state and action laid side by side are of one kind in one vector."""
    groups = []
    for vector, first in (("state", 0), ("action", states)):
        layout = episodes.layout(row, vector)
        kinds = (layout.position, layout.rotation, layout.joints, layout.others)
        groups += [[first + i for i in kind] for kind in kinds if len(kind) > 1]
    return groups


def _filled(values: NDArray[np.float64], alike: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """(n, 3, d) lowest, highest, least width to the least width (d,), infinite where a dimension has no limit.

    One that is not known comes of the dimensions that are alike.
    """
    least = values[0, 2].copy()
    low, high = _usual(values)
    for group in alike:
        unknown = [i for i in group if np.isnan(least[i])]
        widest = max((high[i] - low[i] for i in unknown), default=0.0)
        least[unknown] = UNKNOWN_SHARE * widest if widest > 0 else np.inf
    return np.where(np.isnan(least), np.inf, least)


def _ranges(values: NDArray[np.float64], least: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """(n, 3, d) lowest, highest, least width and (d,) to the usual range (d,), (d,) and the widths (n, d) beyond it."""
    low, high = _usual(values)
    short = np.maximum(least - (high - low), 0) / 2
    finite = np.isfinite(least)
    low, high = np.where(finite, low - short, low), np.where(finite, high + short, high)
    beyond = np.maximum(low - values[:, 0], values[:, 1] - high).clip(0) / np.where(finite, high - low, np.inf)
    return low, high, beyond


def _usual(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(d,) how far the middle half of episodes (n, 3, d) reaches to either side."""
    return np.quantile(values[:, 0], 0.25, axis=0), np.quantile(values[:, 1], 0.75, axis=0)


def _least_widths(layout: VectorLayout) -> NDArray[np.float64]:
    """(d,) narrowest usual range of each value, in its own unit; NaN where that is unknown, infinite for no limit."""
    widths = np.full(layout.dim, OTHER_WIDTH)
    widths[list(layout.position)] = LEAST_WIDTH.get(layout.encoding, OTHER_WIDTH)
    widths[list(layout.rotation)] = ANGLE_WIDTH.get(layout.encoding, OTHER_WIDTH)
    if layout.positions:
        widths[list(layout.grippers)] = GRIPPER_WIDTH
    return np.where(np.isinf(widths), np.inf, widths / layout.factors)


def _name(episodes: Measured, row: int, dim: int, states: int) -> tuple[str, str]:
    """Name a dimension of state and action laid side by side, and its unit as words that follow a number."""
    vector, index = ("state", dim) if dim < states else ("action", dim - states)
    layout = episodes.layout(row, vector)
    name, unit = layout.names[index], layout.units[index].replace("_per_s", " a second").replace("_", " ")
    unit = " (unknown unit)" if unit == UNKNOWN else "" if unit == "opening" else f" {unit}"
    return f"{vector} {index} ({name})" if name else f"{vector} {index}", unit


def _round(values: NDArray[np.float64], limited: NDArray[np.bool_]) -> list[float | None]:
    """Give limits to print, None for dimensions that have none."""
    return [float(f"{value:.4g}") if has else None for value, has in zip(values, limited, strict=True)]
