"""What statistics say that nobody said before: for a person to look at."""

import math
from collections.abc import Iterator, Sequence

from dataengine.vector_layout import FACTORS, VectorLayout
from dataengine.windows.stats import ColumnStatistics

NEAR_PI = 0.15
"""An angle whose 1 % and 99 % quantiles both come this near to +-pi, radians, jumps from one to the other."""
LEAST_OPENING = 0.2
"""A gripper that never opens wider may be given in metres."""
MOST_DIMENSIONS = 6
"""Dimensions that a line names; it counts the others."""
HALF_TURNS = {"radians": "pi", "degrees": "180 degrees"}


def find_warnings(groups: Sequence[ColumnStatistics]) -> list[str]:
    """Say, a line for each, what of these a person should look at."""
    return [*_left_out(groups), *_only_raw(groups), *_mixed(groups), *_of_values(groups)]


def units(group: ColumnStatistics) -> str:
    """Name the units of a vector's values, each once in their order; empty for house units."""
    names = dict.fromkeys(group.layout.units) if group.layout else {}
    is_house = all(FACTORS.get(unit) == 1 for unit in names)
    return "" if is_house else ", ".join("unknown unit" if unit == "unknown" else unit for unit in names)


def _left_out(groups: Sequence[ColumnStatistics]) -> Iterator[str]:
    """Say where steps lack a number, and which."""
    for g in _in_order(groups):
        seen = g.accumulator
        if seen.num_not_finite:
            dims = [i for i in range(seen.dim) if seen.not_finite[i]]
            more = f" and {len(dims) - MOST_DIMENSIONS} more" if len(dims) > MOST_DIMENSIONS else ""
            where = ", ".join(f"{_called(g.layout, i)}: {seen.not_finite[i]:,}" for i in dims[:MOST_DIMENSIONS])
            yield (
                f"{g.column} of embodiment '{g.embodiment}' in {g.dataset}: {seen.num_not_finite:,} steps hold NaN or "
                f"infinity and were left out (dimension {where}{more}), as in episode {seen.not_finite_in}"
            )


def _only_raw(groups: Sequence[ColumnStatistics]) -> list[str]:
    """Name what has the publisher's own numbers alone: nothing is trained on those."""
    columns_of: dict[tuple[str, str], set[str]] = {}
    for g in groups:
        columns_of.setdefault((g.embodiment, g.dataset), set()).add(g.column)
    return [
        f"embodiment '{embodiment}' in {dataset}: has neither state nor action, only {' and '.join(sorted(columns))}; "
        "`villa corpus drop` it, then ingest it again and say which of its columns are the state and the action"
        for (embodiment, dataset), columns in sorted(columns_of.items())
        if not columns & {"state", "action"}
    ]


def _mixed(groups: Sequence[ColumnStatistics]) -> list[str]:
    """Name embodiments whose datasets give the same vector two meanings or units: their quantiles say little."""
    by_meaning: dict[tuple[str, str], dict[str, set[str]]] = {}
    for g in groups:
        if g.layout:
            meaning = f"{g.encoding} in {said}" if (said := units(g)) else g.encoding
            by_meaning.setdefault((g.embodiment, g.column), {}).setdefault(meaning, set()).add(g.dataset)
    return [
        f"embodiment '{embodiment}': its {column} is "
        + " but ".join(f"{meaning} in {', '.join(sorted(names))}" for meaning, names in sorted(meanings.items()))
        + "; statistics of the embodiment mix the two"
        for (embodiment, column), meanings in sorted(by_meaning.items())
        if len(meanings) > 1
    ]


def _of_values(groups: Sequence[ColumnStatistics]) -> list[str]:
    """Say, a line for each vector, which angles wrap and which grippers are no openings."""
    return [
        f"embodiment '{g.embodiment}' in {g.dataset}: {warning}"
        for g in _in_order(groups)
        if g.accumulator.count
        for warning in (*_angles(g), *_grippers(g))
    ]


def _angles(group: ColumnStatistics) -> Iterator[str]:
    """Tell of angles at both ends of the circle, where their unit is known."""
    done, layout = group.accumulator.statistics(), group.layout
    if layout is None:
        return
    for unit, half_turn in HALF_TURNS.items():
        near = (math.pi - NEAR_PI) / FACTORS[unit]
        angles = [i for i in layout.angles if layout.units[i] == unit]
        dims = [i for i in angles if done.q01[i] < -near and done.q99[i] > near]
        if dims:
            jump = "jumps" if len(dims) == 1 else "jump"
            yield (
                f"{group.column} {_which(layout, dims)} {jump} between -{half_turn} and +{half_turn}; its quantiles "
                "are the whole circle, and neighbouring angles lie at both ends of it"
            )


def _grippers(group: ColumnStatistics) -> Iterator[str]:
    """Tell of grippers that are not normalised as openings, and of openings that look like none."""
    seen, layout = group.accumulator, group.layout
    if layout is None:
        return
    other = [i for i in group.grippers if i not in group.may_be_openings]
    for unit in dict.fromkeys(layout.units[i] for i in other):
        dims = [i for i in other if layout.units[i] == unit]
        yield (
            f"{group.column} {_which(layout, dims)} is a gripper in {unit}, not 0 closed to 1 open; it is normalised "
            "by its quantiles, as any other number"
        )
    away = [i for i in group.may_be_openings if i not in group.openings]
    if away:
        i = away[0]
        yield (
            f"{group.column} {_which(layout, away)} goes from {seen.min[i]:.3g} to {seen.max[i]:.3g}, expected a "
            "gripper 0 closed to 1 open; it is normalised by its quantiles, as any other number"
        )
    shut = [i for i in group.openings if 0 < seen.max[i] < LEAST_OPENING]
    if shut:
        yield (
            f"{group.column} {_which(layout, shut)} is a gripper that opens to {seen.max[shut[0]]:.3g} of 1 at most; "
            "is it in metres?"
        )


def _in_order(groups: Sequence[ColumnStatistics]) -> list[ColumnStatistics]:
    return sorted(groups, key=lambda g: (g.embodiment, g.dataset, g.column))


def _called(layout: VectorLayout | None, i: int) -> str:
    """Name a dimension by its index and what it is."""
    name = layout.names[i] if layout else ""
    return f"{i} ({name})" if name else str(i)


def _which(layout: VectorLayout, dims: Sequence[int]) -> str:
    named = ", ".join(_called(layout, i) for i in dims)
    return f"dimension{'s' if len(dims) > 1 else ''} {named}"
