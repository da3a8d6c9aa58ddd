"""How sure a success rate is, and a difference of two: from every start that an arm played, under every seed.

Two things vary: which starts are drawn, and which policy a seed trains. An interval over starts alone (Wilson) is of
this one policy; over seeds (Student's t) of the recipe, and wide with few of them. No interval has a width of zero,
however alike the seeds: what was played is finite.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Solved = NDArray[np.bool_]
"""(seeds, starts)"""
NUM_RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A value with its interval of 95 %; without one where there is too little to tell."""

    value: float
    low: float | None
    high: float | None


def rate_over_seeds(solved: Solved) -> Estimate:
    """Give the mean of the seeds' success rates and a bound of it for other seeds and starts.

    Wilson's interval of as many plays as these are worth, with Student's quantile of as many seeds (Korn and Graubard
    1998, with Wilson's bounds): seeds that differ by more than chance make of many plays few.
    """
    (seeds, starts), rate = solved.shape, float(solved.mean())
    if seeds < 2:
        return Estimate(rate, None, None)
    from scipy.stats import t  # here: half a second

    by_chance = rate * (1 - rate) / starts
    apart = float(solved.mean(axis=1).var(ddof=1))
    plays = solved.size / max(apart / by_chance if by_chance else 1.0, 1.0)
    weight = float(t.ppf(0.975, seeds - 1)) ** 2 / plays
    middle = (rate + weight / 2) / (1 + weight)
    half = (weight * (rate * (1 - rate) + weight / 4)) ** 0.5 / (1 + weight)
    return Estimate(rate, max(middle - half, 0.0), min(middle + half, 1.0))


def paired_difference(arm: Solved, reference: Solved, seed: int = 0) -> Estimate:
    """Give how much more often `arm` solves the same starts, with a bootstrap interval over starts and seeds.

    Both have the same starts, drawn together; seeds of each are drawn by themselves, for they train unlike policies.
    Two starts are added that nobody played, each solved by one of them alone (Bonett and Price 2012): ten starts that
    both solve do not show that there is none which one of them fails. Raise ValueError where starts differ in number.
    """
    if arm.shape[1] != reference.shape[1]:
        raise ValueError(f"{arm.shape[1]} and {reference.shape[1]} starts are no pairs")
    value = float(arm.mean() - reference.mean())
    arm, reference = _with(arm, [True, False]), _with(reference, [False, True])
    draw = np.random.default_rng(seed)
    starts = draw.integers(arm.shape[1], size=(NUM_RESAMPLES, arm.shape[1]))
    means = []
    for solved in (arm, reference):
        seeds = draw.integers(len(solved), size=(NUM_RESAMPLES, len(solved)))
        weight = np.stack([(seeds == i).sum(axis=1) for i in range(len(solved))], axis=1) / len(solved)
        by_seed = np.stack([solved[i].astype(np.float32)[starts].mean(axis=1) for i in range(len(solved))], axis=1)
        means.append((weight * by_seed).sum(axis=1))
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def _with(solved: Solved, starts: list[bool]) -> Solved:
    """Add starts that end alike under every seed."""
    return np.concatenate([solved, np.tile(starts, (len(solved), 1))], axis=1)


def only_one(arm: Solved, reference: Solved) -> tuple[int, int]:
    """Count the plays that `arm` alone solves and those that `reference` alone does, over the seeds that both have."""
    n = min(len(arm), len(reference))
    return int((arm[:n] & ~reference[:n]).sum()), int((~arm[:n] & reference[:n]).sum())


def stack(by_seed: Mapping[int, NDArray[np.bool_]]) -> Solved:
    """Lay the starts (starts,) of every seed over one another, in the order of the seeds."""
    return np.stack([by_seed[seed] for seed in sorted(by_seed)])
