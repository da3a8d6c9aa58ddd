"""What the searches for duplicates share: equal ones, then near ones of one layout; of two of them one stays."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.protocols import Measured, Survey
from dataengine.stages import _neighbours


def find(
    episodes: Measured, name: str, distance: str, most: float, *, unit: Callable[[int], float], words: str, equal: str
) -> Survey:
    """Find episodes of equal `<name>_content`, then compare signatures `name` by their bands `<name>_bands`.

    `unit` turns the root mean square difference of so many numbers into the distance that `most` bounds; `words` and
    `equal` say to people how near two are. Of two the one stays that `_ranks` puts first.
    """
    nearest, objections = np.full(len(episodes), np.nan), dict[int, str]()
    rank = _ranks(episodes)
    for gone, kept in _equal(episodes.column(f"{name}_content"), rank).items():
        nearest[[gone, kept]] = 0.0
        objections[gone] = f"repeats {_called(episodes, kept, gone)}: {equal}"
    lists = episodes.column(f"{name}_bands")
    having = _sizes(lists) > 0
    found = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, 1 + _neighbours.NUM_BANDS)
    stays = np.array([row not in objections for row in np.flatnonzero(having).tolist()], bool)
    having, found = np.flatnonzero(having)[stays], found[stays]
    for group in np.unique(found[:, 0]):
        mine = np.flatnonzero(found[:, 0] == group)
        # In the order of their ranks, so that the same pairs come out wherever the rows lie.
        mine = mine[np.argsort(rank[having[mine]])]
        rows = having[mine]
        pairs = _neighbours.candidates(found[mine, 1:])
        apart, dims = _neighbours.distances(
            pairs, lambda places, rows=rows: _neighbours.as_matrix(episodes.column(name, rows[places]))
        )
        apart = apart * unit(dims)
        low = np.full(len(rows), np.inf)
        np.minimum.at(low, pairs.reshape(-1), np.repeat(apart, 2))
        nearest[rows] = np.fmin(nearest[rows], np.where(np.isfinite(low), low, np.nan))
        close = apart <= most
        for row, (other, how_far) in _neighbours.repeats(pairs[close], apart[close]).items():
            kept, gone = int(rows[other]), int(rows[row])
            objections[gone] = f"repeats {_called(episodes, kept, gone)}: {words.format(how_far)}, allowed {most:g}"
    return Survey(numbers={distance: nearest}, objections=objections)


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
