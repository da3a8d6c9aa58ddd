"""Numbers of unknown unit, checked by how far the same embodiment usually goes in the same dataset."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataengine.curation.coverage import Coverage, checked, unchecked
from dataengine.curation.stage import Measured

MIN_EPISODES = 12
"""Fewest episodes of a embodiment in a dataset that say what is usual; fewer are not checked."""


class UnknownUnitGroup(NamedTuple):
    """Episodes of one embodiment in one dataset whose unit is unknown."""

    name: str
    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    """(e, k) their numbers."""
    is_checked: bool


def numbers(episodes: Measured, *columns: str) -> NDArray[np.float64]:
    """(n, k) some measured numbers."""
    arrays = [episodes.column(name).to_numpy(zero_copy_only=False).astype(np.float64) for name in columns]
    return np.stack(arrays, axis=1) if arrays else np.zeros((len(episodes), 0))


def groups(episodes: Measured, values: NDArray[np.float64]) -> Iterator[UnknownUnitGroup]:
    """Group the rows whose first number (n, k) is known, in the order of their names."""
    members: dict[tuple[str, str], list[int]] = {}
    for row in np.flatnonzero(np.isfinite(values[:, 0])).tolist():
        members.setdefault((episodes.embodiments[row], episodes.datasets[row]), []).append(row)
    for (embodiment, dataset), rows in sorted(members.items()):
        yield UnknownUnitGroup(f"{embodiment} in {dataset}", np.array(rows), values[rows], len(rows) >= MIN_EPISODES)


def coverage(group: UnknownUnitGroup, usual: float) -> dict[int, Coverage]:
    """Say of each row of a group that it is checked by the usual reach, or why that says nothing."""
    if not group.is_checked:
        said = unchecked(f"an unknown unit, and {few(MIN_EPISODES)}")
    elif usual > 0:
        said = checked("by the usual reach of the embodiment in the dataset, as the unit is unknown")
    else:
        said = unchecked("an unknown unit, and no usual reach: half of the embodiment's episodes in the dataset rest")
    return dict.fromkeys(group.rows.tolist(), said)


def few(least: int) -> str:
    """Say that nothing is known to be usual."""
    return f"fewer than {least} episodes of the embodiment in the dataset to tell what is usual"
