"""From signed errors of probes to readouts with intervals, and from readouts to comparisons in pairs of seeds."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataengine.vector_layout import GROUPS
from pipelines.analysis.pairs import Floats, PairMotion
from pipelines.analysis.probe.report import MEAN, Comparison, EmbodimentReadouts, Interval, Over, Readout, named

BIN = 0.05
"""Width of the bins of largest errors (villa-X, figure 4); the last bin holds everything beyond 1."""
NUM_BINS = 20
SMALL_ERROR = 0.5
"""A pair whose largest error over steps and dimensions stays below this is read well."""
CONFIDENCE = 0.95
LEAST_ERROR = 0.0005
"""Printed as 0.000: a change relative to a smaller error is one of rounding, and left out."""


def t_interval(values: ArrayLike) -> Interval | None:
    """Bound the mean that values (n,) were drawn around, by Student's t; None for fewer than two."""
    from scipy.special import stdtrit

    drawn = np.asarray(values, dtype=np.float64)
    if len(drawn) < 2:
        return None
    half = float(stdtrit(len(drawn) - 1, 0.5 + CONFIDENCE / 2) * drawn.std(ddof=1) / math.sqrt(len(drawn)))
    return _round(drawn.mean() - half), _round(drawn.mean() + half)


def score(source: str, errors: Sequence[Sequence[Floats]], numbers: PairMotion, models: Sequence[str] = ()) -> Readout:
    """Sum up signed errors: for each trained model of a variant, for each probe, an array (n, K, a)."""
    sizes = np.abs(np.stack([np.stack(one) for one in errors]))  # (models, probes, n, K, a)
    over: Over = "training seeds" if len(sizes) > 1 else "probe seeds"
    if len(sizes) == 1:
        sizes = sizes.swapaxes(0, 1)  # now the first axis is the seeds in any case
    largest = sizes.max(axis=(3, 4))
    counts = np.bincount(np.minimum(largest / BIN, NUM_BINS).astype(int).ravel(), minlength=NUM_BINS + 1)
    seeds = sizes.mean(axis=(1, 2, 3, 4))
    groups = {}
    for name, indices in numbers.groups.items():
        mine = np.isin(numbers.action_dims, indices)
        if mine.any():
            groups[name] = sizes[..., mine].mean(axis=(1, 2, 3, 4))
    small = (largest < SMALL_ERROR).mean(axis=(1, 2))
    return _readout(source, list(models), over, seeds, groups, small, counts / counts.sum())


def _readout(
    source: str,
    models: list[str],
    over: Over,
    seeds: NDArray[np.float64],
    groups: Mapping[str, NDArray[np.float64]],
    small: NDArray[np.float64],
    histogram: NDArray[np.float64],
) -> Readout:
    """Give every row of numbers, one for each seed, its mean and its interval."""
    return Readout(
        source=source,
        models=models,
        over=over,
        l1=_round(seeds.mean()),
        l1_seeds=_rounded(seeds),
        l1_spread=_round(seeds.std()),
        l1_interval=t_interval(seeds),
        groups={name: _round(mine.mean()) for name, mine in groups.items()},
        group_seeds={name: _rounded(mine) for name, mine in groups.items()},
        group_intervals={name: t_interval(mine) for name, mine in groups.items()},
        small_errors=_round(small.mean()),
        small_errors_seeds=_rounded(small),
        histogram=_rounded(histogram),
    )


def compare(embodiments: Sequence[EmbodimentReadouts], lam: str, versus: str) -> list[Comparison]:
    """Relative change of one variant's errors against another's, by embodiment and in the mean over embodiments."""
    pairs = [[next(r for r in e.readouts if r.source == name) for name in (lam, versus)] for e in embodiments]
    out = [_compare(title, *pair) for title, pair in zip(named(list(embodiments)), pairs, strict=True)]
    if len(pairs) > 1:
        out.append(_compare(MEAN, *(mean_of(side) for side in zip(*pairs, strict=True))))
    return out


def mean_of(readouts: Sequence[Readout]) -> Readout:
    """Average over embodiments, each weighing the same; groups only where all have them."""
    first = readouts[0]
    shared = [g for g in GROUPS if all(g in r.groups for r in readouts)]
    return _readout(
        first.source,
        first.models,
        first.over,
        np.mean([r.l1_seeds for r in readouts], axis=0),
        {g: np.mean([r.group_seeds[g] for r in readouts], axis=0) for g in shared},
        np.mean([r.small_errors_seeds for r in readouts], axis=0),
        np.mean([r.histogram for r in readouts], axis=0),
    )


def _compare(embodiment: str, one: Readout, other: Readout) -> Comparison:
    changes = _changes(one.l1_seeds, other.l1_seeds)
    groups = {
        g: _changes(one.group_seeds[g], other.group_seeds[g])
        for g in one.groups  # both variants read the same pairs: a group that rests in one rests in the other
        if g in other.groups and min(other.group_seeds[g]) >= LEAST_ERROR
    }
    return Comparison(
        lam=one.source,
        versus=other.source,
        embodiment=embodiment,
        over=one.over,
        change=_round(changes.mean()),
        change_seeds=_rounded(changes),
        interval=t_interval(changes),
        lower=int((changes < 0).sum()),
        groups={g: _round(mine.mean()) for g, mine in groups.items()},
        group_seeds={g: _rounded(mine) for g, mine in groups.items()},
        group_intervals={g: t_interval(mine) for g, mine in groups.items()},
        histogram=_rounded(np.subtract(one.histogram, other.histogram)),
    )


def _changes(one: Sequence[float], other: Sequence[float]) -> NDArray[np.float64]:
    return np.asarray(one) / np.maximum(other, 1e-9) - 1


def _rounded(numbers: NDArray[np.float64]) -> list[float]:
    return [_round(x) for x in numbers]


def _round(x: float) -> float:
    return round(float(x), 5)
