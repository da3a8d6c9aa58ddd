"""How far apart two sequences of latent actions are: dynamic time warping, Sakoe and Chiba's symmetric form (1978).

d(a, b) = min over alignments of the sum of w * |a_i - b_j|, over len(a) + len(b); w is 2 for a step forward in both and
1 for a step in one. Equal motions at different speeds are near, and longer sequences are not further for being longer.

Shape letters: n sequences that one is compared with, q its latent actions, c those of the longest other, w numbers in
one latent action.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TOGETHER = 256
"""Sequences compared at once."""


def apart(one: NDArray[np.floating], other: NDArray[np.floating]) -> Floats:
    """Euclidean distances (a, b) between latent actions (a, w) and (b, w)."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    square = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(square, 0))


def distances(one: NDArray[np.floating], others: Sequence[NDArray[np.floating]]) -> Floats:
    """Distances (n,) of a sequence (q, w) to others, each (c_i, w); none of them is empty."""
    parts = [np.zeros(0)]
    for first in range(0, len(others), TOGETHER):
        some = others[first : first + TOGETHER]
        lengths = np.array([len(each) for each in some])
        flat = apart(one, np.concatenate(some))
        far = np.zeros((len(some), len(one), lengths.max()))
        for i, end in enumerate(np.cumsum(lengths)):
            far[i, :, : lengths[i]] = flat[:, end - lengths[i] : end]
        parts.append(_costs(far)[np.arange(len(some)), -1, lengths - 1] / (len(one) + lengths))
    return np.concatenate(parts)


def alignment(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.int64]:
    """For each latent action of one sequence (q, w), the last of the other (c, w) that it is aligned with (q,)."""
    costs = _costs(apart(one, other)[None])[0]
    i, j = len(one) - 1, len(other) - 1
    last = np.full(len(one), -1)
    while i >= 0 and j >= 0:
        last[i] = max(last[i], j)
        steps = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        i, j = min(steps, key=lambda step: costs[step] if min(step) >= 0 else np.inf)
    return last


def _costs(far: Floats) -> Floats:
    """Least costs (n, q, c) of alignments that end at each pair, one diagonal after another."""
    n, q, c = far.shape
    costs = np.full((n, q + 1, c + 1), np.inf)
    costs[:, 0, 0] = 0.0
    for diagonal in range(q + c - 1):
        i = np.arange(max(0, diagonal - c + 1), min(q, diagonal + 1))
        j = diagonal - i
        d = far[:, i, j]
        one_forward = np.minimum(costs[:, i, j + 1], costs[:, i + 1, j]) + d
        costs[:, i + 1, j + 1] = np.minimum(one_forward, costs[:, i, j] + 2 * d)
    return costs[:, 1:, 1:]
