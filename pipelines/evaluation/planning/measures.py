"""How much plans are like what happened, beside what chance makes.

Shape letters: b starts, n latent actions of a plan, k codes in one, d their width, m of them that happened (m <= n).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.directions import Floats, cosines, interval_of_mean
from pipelines.evaluation.planning.starts import Start

DRAWS = 8
"""Times that plans are held against what happened elsewhere."""
CHANGED = 10
"""Levels by which a pixel must differ between two recorded pictures to count as changed."""


def cosine(plan: NDArray[np.floating], latent: NDArray[np.floating]) -> float:
    """Mean cosine between a plan (n, k, d) and what happened (m, k, d)."""
    one = plan[: len(latent)].reshape(len(latent), -1)
    return float(cosines(one, latent[: len(one)].reshape(len(one), -1)).mean())


def accuracy(named: NDArray[np.integer], codes: NDArray[np.integer]) -> float:
    """Share of slots in which a plan (n, k) names the code that happened (m, k)."""
    return float((named[: len(codes)] == codes[: len(named)]).mean())


def elsewhere(starts: Sequence[Start], random: np.random.Generator) -> list[NDArray[np.int64]]:
    """Draw for each start some others, of other episodes; none where there is one episode alone."""
    names = np.array([start.episode.episode_id for start in starts])
    others = [np.flatnonzero(names != name) for name in names]
    return [random.choice(each, DRAWS) if len(each) else each for each in others]


def commonest(starts: Sequence[Start]) -> float:
    """Share of slots that are right where always the commonest code of a slot is named."""
    codes = np.concatenate([start.codes for start in starts])
    return float(np.mean([np.bincount(slot).max() / len(slot) for slot in codes.T]))


def interval(differences: Floats, episodes: Sequence[str], random: np.random.Generator) -> tuple[float, float]:
    """Bound the mean of differences (b,), 95 %, by bootstrap over the episodes that starts are of."""
    names = np.asarray(episodes)
    by_episode = np.array([differences[names == name].mean() for name in np.unique(names)])
    return interval_of_mean(by_episode, random)


def error(picture: NDArray[np.uint8], target: NDArray[np.uint8], first: NDArray[np.uint8]) -> tuple[float, float]:
    """Sum squared errors of a picture, and of the first one, against the target, where the target differs from that."""
    now, then, before = (x.astype(np.float64) for x in (picture, target, first))
    changed = np.abs(then - before).max(axis=2) > CHANGED
    return float(np.square(now - then)[changed].sum()), float(np.square(before - then)[changed].sum())


def approach(errors: Sequence[tuple[float, float]]) -> float | None:
    """Give the way that pictures go to their targets: 0 like the first one, 1 there; None where nothing moved."""
    mine, copied = (sum(side) for side in zip(*errors, strict=True)) if errors else (0.0, 0.0)
    return None if copied <= 0 else round(1 - mine / copied, 4)
