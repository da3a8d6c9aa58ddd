"""What the searches for duplicates share: signatures are compared by layout, and of two near ones one stays."""

from collections.abc import Callable

import numpy as np

from dataengine.protocols import Measured, Survey
from dataengine.stages import _neighbours


def find(
    episodes: Measured, name: str, distance: str, most: float, *, unit: Callable[[int], float], words: str
) -> Survey:
    """Compare signatures `name` by their bands `<name>_bands`; of near ones the smallest episode id stays.

    `unit` turns the root mean square difference of so many numbers into the distance that `most` bounds; `words` say
    it to people.
    """
    nearest, objections = np.full(len(episodes), np.nan), {}
    lists = episodes.column(f"{name}_bands")
    having = np.flatnonzero(lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False) > 0)
    found = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, 1 + _neighbours.NUM_BANDS)
    order = sorted(range(len(episodes)), key=lambda row: episodes.episode_ids[row])
    rank = np.empty(len(episodes), np.int64)
    rank[order] = np.arange(len(episodes))
    for group in np.unique(found[:, 0]):
        mine = np.flatnonzero(found[:, 0] == group)
        # In the order of their ids, so that the same pairs come out wherever the rows lie.
        mine = mine[np.argsort(rank[having[mine]])]
        rows = having[mine]
        pairs = _neighbours.candidates(found[mine, 1:])
        apart, dims = _neighbours.distances(
            pairs, lambda places, rows=rows: _neighbours.as_matrix(episodes.column(name, rows[places]))
        )
        apart = apart * unit(dims)
        low = np.full(len(rows), np.inf)
        np.minimum.at(low, pairs.reshape(-1), np.repeat(apart, 2))
        nearest[rows] = np.where(np.isfinite(low), low, np.nan)
        close = apart <= most
        for row, (other, how_far) in _neighbours.repeats(pairs[close], apart[close]).items():
            kept, gone = rows[other], rows[row]
            place = "" if episodes.datasets[kept] == episodes.datasets[gone] else f" of {episodes.datasets[kept]}"
            objections[int(gone)] = (
                f"repeats episode {episodes.episode_ids[kept]}{place}: {words.format(how_far)}, allowed {most:g}"
            )
    return Survey(numbers={distance: nearest}, objections=objections)
