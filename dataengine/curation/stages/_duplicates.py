"""What the searches for duplicates share: equal ones, then near ones of one layout; of two of them one stays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.curation.coverage import CHECKED, Coverage
from dataengine.curation.stage import Measured, Survey
from dataengine.curation.stages import _neighbours


class Measure(NamedTuple):
    """By what two signatures are compared."""

    number: str
    """Name of the distance."""
    unit: Callable[[int], float]
    """Turns the root mean square difference of so many numbers into the distance."""
    most: float
    """Largest distance of copies."""
    message: str
    """Says it to people, with the distance and the largest one."""
    coverage: Coverage = CHECKED


class Wording(NamedTuple):
    """What a search says of its episodes."""

    equal: str
    """Why equal ones are copies."""
    only_equal: Coverage
    """Of episodes without a signature."""
    only_near: Coverage
    """Of episodes of which not everything has a checksum."""
    neither: Coverage


Agree = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Tells which pairs (p, 2) of near rows are copies."""


@dataclass
class _Near:
    """What comes of comparing rows of one layout, by their indices among these."""

    gone: dict[int, tuple[int, float]]
    """Copies, each with the one that stays and its distance."""
    odd: dict[int, int]
    """What lies near another one, with that one, and is no copy of it."""
    lowest: NDArray[np.float64]
    """(k,) distance to the nearest of the others, but for such; infinite where there is none."""


def find(
    episodes: Measured,
    name: str,
    wording: Wording,
    measures: Sequence[Measure],
    which: NDArray[np.int64] | None = None,
    agree: Agree = lambda pairs: np.ones(len(pairs), bool),
) -> tuple[Survey, dict[int, int]]:
    """Find episodes of equal `<name>_content`, then compare signatures `name` by their bands `<name>_bands`.

    `which` (n,) tells by which measure each row is compared, the first by default; it is the same for all of a layout.
    Of two the one stays that `_ranks` puts first. Given beside are rows that stay though they are near another one,
    each with that one, as `agree` says so.
    """
    which = np.zeros(len(episodes), np.int64) if which is None else which
    objections: dict[int, str] = {}
    odd: dict[int, int] = {}
    nearest = {measure.number: np.full(len(episodes), np.nan) for measure in measures}
    rank, contents, lists = _ranks(episodes), episodes.column(f"{name}_content"), episodes.column(f"{name}_bands")
    for gone, kept in _equal(contents, rank).items():
        objections[gone] = f"repeats {_called(episodes, kept, gone)}: {wording.equal}"
        for row in (gone, kept):
            nearest[measures[which[row]].number][row] = 0.0
    having = np.flatnonzero(_sizes(lists) > 0)
    bands = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, 1 + _neighbours.NUM_BANDS)
    stays = np.array([row not in objections for row in having.tolist()], bool)
    having, bands = having[stays], bands[stays]
    for group in np.unique(bands[:, 0]):
        mine = np.flatnonzero(bands[:, 0] == group)
        # In the order of their ranks, so that the same pairs come out wherever the rows lie.
        mine = mine[np.argsort(rank[having[mine]])]
        rows, measure = having[mine], measures[which[having[mine[0]]]]
        near = _compare(episodes, name, rows, bands[mine, 1:], measure, agree)
        low = np.where(np.isfinite(near.lowest), near.lowest, np.nan)
        nearest[measure.number][rows] = np.fmin(nearest[measure.number][rows], low)
        for index, (other, how_far) in near.gone.items():
            kept, gone = int(rows[other]), int(rows[index])
            said = measure.message.format(how_far, measure.most)
            objections[gone] = f"repeats {_called(episodes, kept, gone)}: {said}"
        odd |= {int(rows[index]): int(rows[other]) for index, other in near.odd.items() if index not in near.gone}
    coverage = _coverage(wording, measures, which, _sizes(lists) > 0, _sizes(contents) > 0)
    return Survey(numbers=nearest, objections=objections, coverage=coverage), odd


def _compare(
    episodes: Measured, name: str, rows: NDArray[np.int64], bands: NDArray[np.int64], measure: Measure, agree: Agree
) -> _Near:
    """Compare rows (k,) of one layout, in the order in which they stay, by bands (k, NUM_BANDS)."""
    near = _Near({}, {}, np.full(len(rows), np.inf))
    left = np.arange(len(rows))
    while True:
        pairs = left[_neighbours.candidates(bands[left])]
        apart, dims = _neighbours.distances(
            pairs, lambda indices: _neighbours.as_matrix(episodes.column(name, rows[indices]))
        )
        apart = apart * measure.unit(dims)
        close = apart <= measure.most
        same = close.copy()
        same[close] = agree(rows[pairs[close]])
        odd = close & ~same
        np.minimum.at(near.lowest, pairs[~odd].reshape(-1), np.repeat(apart[~odd], 2))
        gone = _neighbours.repeats(pairs[same], apart[same])
        near.gone |= gone
        near.odd |= {later: first for first, later in pairs[odd].tolist()}
        if not gone or not odd.any():
            return near
        # In a crowd such stood between others that were not compared with one another.
        left = np.array([i for i in left.tolist() if i not in gone])


def _coverage(
    wording: Wording,
    measures: Sequence[Measure],
    which: NDArray[np.int64],
    is_signed: NDArray[np.bool_],
    is_summed: NDArray[np.bool_],
) -> dict[int, Coverage]:
    """Say of each row by what it was compared, where that is not all."""
    by_row = {}
    for row, (signed, summed) in enumerate(zip(is_signed.tolist(), is_summed.tolist(), strict=True)):
        usual = measures[which[row]].coverage
        said = (usual if summed else wording.only_near) if signed else wording.only_equal if summed else wording.neither
        if said != CHECKED:
            by_row[row] = said
    return by_row


def _ranks(episodes: Measured) -> NDArray[np.int64]:
    """(n,) which of two stays: the lower. Those to train on come first, then smaller ids."""
    order = sorted(range(len(episodes)), key=lambda row: (episodes.splits[row] != "train", episodes.episode_ids[row]))
    rank = np.empty(len(episodes), np.int64)
    rank[order] = np.arange(len(episodes))
    return rank


def _equal(contents: pa.Array, rank: NDArray[np.int64]) -> dict[int, int]:
    """Rows whose content is that of one that stays, each with that one."""
    rows = np.flatnonzero(_sizes(contents) > 0)
    hashes = contents.flatten().to_numpy(zero_copy_only=False)
    order = np.lexsort((rank[rows], hashes))
    rows, hashes = rows[order], hashes[order]
    first = np.searchsorted(hashes, hashes, side="left")
    return {int(rows[i]): int(rows[k]) for i, k in enumerate(first.tolist()) if i != k}


def _sizes(lists: pa.Array) -> NDArray[np.int64]:
    return lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)


def _called(episodes: Measured, kept: int, gone: int) -> str:
    """Name the episode that stays, as far as it lies elsewhere."""
    where = "" if episodes.datasets[kept] == episodes.datasets[gone] else f" of {episodes.datasets[kept]}"
    split = "" if episodes.splits[kept] == episodes.splits[gone] else f" in split {episodes.splits[kept]}"
    return f"episode {episodes.episode_ids[kept]}{where}{split}"
