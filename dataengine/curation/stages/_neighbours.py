"""Near-duplicates among very many signatures: bands that near ones share, then distances of those that share one.

A signature is a vector of real numbers. A band quantises a few random projections of it (p-stable locality-sensitive
hashing, Datar and others 2004): near vectors share a cell of at least one band almost surely, far ones hardly ever.
Bands and signatures are small columns, so that a comparison of all episodes reads no episode.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.digest import stable_id

NUM_BANDS = 8
MOST_COMPARED = 32
"""Neighbours that a member of a crowded cell is compared with, in an order in which equals stand together."""
PAIRS_AT_ONCE = 100_000

Read = Callable[[NDArray[np.int64]], NDArray[np.float32]]


def bands(signatures: NDArray[np.floating], near: float, projections: int, layout: str) -> NDArray[np.int64]:
    """(e, d) to (e, 1 + NUM_BANDS): the layout, then bands of which vectors share one that lie nearer than `near`.

    Nearness is the root mean square difference. At `near` two vectors of 4 projections a band miss each other once in
    thousands, at twice that once in a hundred. Only vectors of one layout (what their numbers mean) are ever compared.
    """
    dims = signatures.shape[1]
    draw = np.random.default_rng(dims)  # the same for every fragment, run and machine
    directions = draw.normal(size=(dims, NUM_BANDS * projections)) / np.sqrt(dims)
    width = 8 * near
    shifts = draw.uniform(size=NUM_BANDS * projections)
    cells = np.floor(signatures.astype(np.float64) @ directions / width + shifts).astype(np.int64)
    mixers = draw.integers(1, 2**62, size=projections) * 2 + 1
    with np.errstate(over="ignore"):
        hashes = np.add.reduce(cells.reshape(-1, NUM_BANDS, projections) * mixers, axis=2)
    group = int(stable_id(layout, str(dims)), 16) >> 1
    return np.hstack([np.full((len(hashes), 1), group), hashes])


def candidates(bands: NDArray[np.int64]) -> NDArray[np.int64]:
    """(e, NUM_BANDS) to pairs (p, 2) of rows, the smaller first, that share a band; in the order of the rows."""
    pairs = []
    for k in range(bands.shape[1]):
        # Equal signatures share all bands: ordered by the others too, they stand together in a crowded cell.
        others = [bands[:, (k + 1 + j) % bands.shape[1]] for j in range(bands.shape[1] - 1)]
        order = np.lexsort((np.arange(len(bands)), *others[::-1], bands[:, k]))
        cell = bands[order, k]
        # With the first of its cell each is compared: among any number of equals it is the one that stays.
        first = np.searchsorted(cell, cell, side="left")
        rest = np.flatnonzero(first < np.arange(len(cell)))
        pairs.append(np.sort(np.stack([order[first[rest]], order[rest]], axis=1), axis=1))
        for step in range(1, min(MOST_COMPARED, len(bands) - 1) + 1):
            same = np.flatnonzero(cell[step:] == cell[:-step])
            if not len(same):
                break
            pairs.append(np.sort(np.stack([order[same], order[same + step]], axis=1), axis=1))
    return np.unique(np.concatenate(pairs), axis=0) if pairs else np.zeros((0, 2), np.int64)


def distances(pairs: NDArray[np.int64], read: Read) -> tuple[NDArray[np.float64], int]:
    """(p,) root mean square differences of pairs, and of how many numbers; `read` gives signatures (k, d) of rows."""
    out, dims = np.full(len(pairs), np.inf), 0
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        piece = pairs[start : start + PAIRS_AT_ONCE]
        rows, inverse = np.unique(piece, return_inverse=True)
        signatures, at = read(rows), inverse.reshape(-1, 2)
        out[start : start + len(piece)] = np.sqrt(((signatures[at[:, 0]] - signatures[at[:, 1]]) ** 2).mean(axis=1))
        dims = signatures.shape[1]
    return out, dims


def repeats(pairs: NDArray[np.int64], apart: NDArray[np.float64]) -> dict[int, tuple[int, float]]:
    """Say which row repeats which that stays, and at what distance; the first of two stays.

    Every row that goes is near one that stays: a chain of near ones does not take what is far from all that is kept.
    """
    near: dict[int, list[tuple[float, int]]] = {}
    for (first, later), distance in zip(pairs.tolist(), apart.tolist(), strict=True):
        near.setdefault(later, []).append((distance, first))
    gone: dict[int, tuple[int, float]] = {}
    for row in sorted(near):
        for distance, first in sorted(near[row]):
            if first not in gone:
                gone[row] = (first, distance)
                break
    return gone


def as_matrix(column: pa.Array) -> NDArray[np.float32]:
    """(k, d) of a list column whose lists are equally long."""
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1).astype(np.float32)
