"""What the numbers of a vector say that its layout does not: for a person to look at."""

import math
from collections.abc import Iterator, Sequence

from dataengine.stats import Group
from dataengine.vector_layout import VectorLayout

NEAR_PI = 0.15
"""An angle whose 1 % and 99 % quantiles both come this near to +-pi, radians, jumps from one to the other."""

LEAST_OPENING = 0.2
"""A gripper that never opens wider may be given in metres."""


def doubts_of_values(groups: Sequence[Group]) -> list[str]:
    """Say, a line for each vector, which angles wrap and which grippers are no openings."""
    return [
        f"embodiment '{g.embodiment}' in {g.dataset}: {doubt}"
        for g in sorted(groups, key=lambda g: (g.embodiment, g.dataset, g.column))
        if g.accumulator.count
        for doubt in (*_angles(g), *_grippers(g))
    ]


def _angles(group: Group) -> Iterator[str]:
    done = group.accumulator.statistics()
    places = [
        i
        for i in VectorLayout.of(group.encoding, done.dim).angles
        if done.q01[i] < NEAR_PI - math.pi and done.q99[i] > math.pi - NEAR_PI
    ]
    if places:
        yield (
            f"{group.column} {_which(places)} jumps between -pi and +pi; its quantiles are the whole circle, "
            "and neighbouring angles lie at both ends of it"
        )


def _grippers(group: Group) -> Iterator[str]:
    seen = group.accumulator
    away = [i for i in group.grippers if i not in group.openings]
    if away:
        i = away[0]
        yield (
            f"{group.column} {_which(away)} goes from {seen.min[i]:.3g} to {seen.max[i]:.3g}, expected a gripper 0 "
            "closed to 1 open; it is normalised by its quantiles, as any other number"
        )
    shut = [i for i in group.openings if 0 < seen.max[i] < LEAST_OPENING]
    if shut:
        yield (
            f"{group.column} {_which(shut)} is a gripper that opens to {seen.max[shut[0]]:.3g} of 1 at most; "
            "is it in metres?"
        )


def _which(places: Sequence[int]) -> str:
    return f"dimension{'s' if len(places) > 1 else ''} {', '.join(map(str, places))}"
