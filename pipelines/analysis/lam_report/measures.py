"""Numbers about latent actions: which codes they use, which pairs they call alike, whether these moved alike.

Shape letters: n pairs of frames, k codes in a latent action, d their width, c codes in the book, m numbers of motion.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, rel_entr

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Distance = Literal["euclid", "cosine"]

STILL = 0.1
"""A pair moves if its hand goes further than this share of what the fastest twentieth of its group's pairs do."""
SAME = 1e-6
"""Distances closer than this are equal: few codes make many ties."""
ROUNDS = 20


def code_counts(codes: NDArray[np.integer], num_codes: int) -> Ints:
    """Count codes (n, k) by slot (k, c)."""
    counts = np.zeros((codes.shape[1], num_codes), dtype=np.int64)
    np.add.at(counts, (np.arange(codes.shape[1]), codes), 1)
    return counts


def perplexity(counts: Ints) -> Floats:
    """Codes in effect by slot (k,): the exponential of the entropy."""
    share = counts / counts.sum(axis=1, keepdims=True)
    return np.exp(entr(share).sum(axis=1))


def jensen_shannon(one: Ints, other: Ints) -> float:
    """Jensen-Shannon distance of two counts (k, c), averaged over slots: 0 for equal shares, 1 for no common code."""
    p, q = (counts / counts.sum(axis=1, keepdims=True) for counts in (one, other))
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / math.log(4)  # half of it, in bits
    return float(np.sqrt(np.maximum(divergence, 0)).mean())


def distances(one: NDArray[np.floating], other: NDArray[np.floating], kind: Distance) -> Floats:
    """Distances (n, n') between latent actions (n, w) and (n', w)."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if kind == "cosine":
        a, b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (a, b))
        return np.maximum(1 - a @ b.T, 0)
    square = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(square, 0))


def nearest(far: Floats, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the nearest of the allowed candidates (n, n') of every query, ties and all; none where none is allowed."""
    least = np.where(allowed, far, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    return allowed & (far <= least + SAME)


def mean_over(values: Floats, marked: NDArray[np.bool_]) -> float | None:
    """Average values (n, n') over the marked candidates of each query, then over queries that have some."""
    count = marked.sum(axis=1)
    if not count.any():
        return None
    return float(((values * marked).sum(axis=1)[count > 0] / count[count > 0]).mean())


def directions(motion: NDArray[np.floating]) -> Floats:
    """Directions (n, m) of motions (n, m), of length 1; 0 for pairs that stand still."""
    length = np.linalg.norm(np.asarray(motion, np.float64), axis=1)
    least = STILL * float(np.quantile(length, 0.95)) if len(length) else 0.0
    moves = length > max(least, 1e-9)
    return np.where(moves[:, None], motion / np.where(moves, length, 1.0)[:, None], 0.0)


def examples(latents: NDArray[np.floating], count: int) -> Ints:
    """Pick up to `count` rows (n, w) that stand for as many groups of like latents: k-means, and each group's middle.

    The first centres are those farthest apart, so that nothing is drawn and each call picks alike.
    """
    rows = np.asarray(latents, np.float64)
    if not len(rows) or count < 1:
        return np.zeros(0, np.int64)
    centres = rows[[int(np.argmin(distances(rows, rows.mean(axis=0)[None], "euclid")[:, 0]))]]
    while len(centres) < count:
        far = distances(rows, centres, "euclid").min(axis=1)
        if far.max() <= SAME:
            break
        centres = np.concatenate([centres, rows[[int(far.argmax())]]])
    for _ in range(ROUNDS):
        member = distances(rows, centres, "euclid").argmin(axis=1)
        moved = np.stack([rows[member == i].mean(axis=0) if (member == i).any() else c for i, c in enumerate(centres)])
        if np.allclose(moved, centres):
            break
        centres = moved
    # largest group first
    order = np.argsort(-np.bincount(member, minlength=len(centres)), kind="stable")
    middles = distances(rows, centres, "euclid").argmin(axis=0)[order]
    return np.array(list(dict.fromkeys(middles.tolist())), dtype=np.int64)
