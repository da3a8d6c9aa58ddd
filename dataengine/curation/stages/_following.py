"""How well what a robot did agrees with what it was told, in numbers that know neither gains nor thresholds."""

import numpy as np
from numpy.typing import NDArray

from dataengine.conventions import euler_to_matrix, wrap_angle
from dataengine.curation.ragged import Ragged

FOLLOW_S = 0.4
"""Time over which actions are added up and compared with the way that was made: a controller needs a moment."""
LAGS = (0, 1, 2)
"""Steps by which the state may lag behind the action."""
DOUBTFUL = 0.8
"""Agreement below which actions are also tried in the frame of the hand."""
JITTER = 0.003
"""Change of an opening in a step that is noise."""
REPEATS = 0.95
"""Correlation from which on a measured opening is taken for a copy of the command."""

Floats = NDArray[np.float64]


def delta_agreement(position: Ragged, euler: Ragged | None, delta: Ragged, hz: Floats) -> tuple[Floats, Floats]:
    """(e,) cosine of displacements and summed deltas (n, 3), -1 to 1, and the gain from deltas to displacements.

    The best of all lags, and of deltas in the frame of the base and, where its angles are known, in that of the hand.
    0 where nothing was told.
    """
    best, gain = _delta_cosine(position, delta, hz)
    doubtful = np.flatnonzero(best < DOUBTFUL)
    if len(doubtful) and euler is not None:
        some = np.isin(position.owners, doubtful)
        starts = np.concatenate([[0], np.cumsum(position.lengths[doubtful])])
        turned = np.einsum("nij,nj->ni", euler_to_matrix(euler.values[some]), delta.values[some])
        again, its_gain = _delta_cosine(Ragged(position.values[some], starts), Ragged(turned, starts), hz[doubtful])
        better = doubtful[again > best[doubtful]]
        best[better], gain[better] = again[again > best[doubtful]], its_gain[again > best[doubtful]]
    return best, gain


def turn_agreement(euler: Ragged, delta: Ragged, hz: Floats) -> Floats:
    """(e,) cosine of changes of roll, pitch and yaw and summed deltas (n, 3); NaN where none was told."""
    commanded = (delta.of((delta.values**2).sum(axis=1))).sum() > 0
    return np.where(commanded, _delta_cosine(euler, delta, hz, angles=True)[0], np.nan)


def _delta_cosine(position: Ragged, delta: Ragged, hz: Floats, *, angles: bool = False) -> tuple[Floats, Floats]:
    sums = np.concatenate([np.zeros((1, 3)), np.cumsum(delta.values, axis=0, dtype=np.float64)])
    span = np.clip(np.round(FOLLOW_S * hz).astype(np.int64), 1, np.maximum(position.lengths // 4, 1))
    best, gain = np.full(len(hz), -np.inf), np.full(len(hz), np.nan)
    for lag in LAGS:
        i, windows = position.pairs(span + lag)
        ahead = span[windows.owners]
        way = position.values[i + ahead + lag] - position.values[i + lag]
        way = wrap_angle(way) if angles else way
        commanded = sums[i + ahead] - sums[i]
        ways, commands, both = (
            windows.of((x * y).sum(axis=1)).sum() for x, y in ((way, way), (commanded, commanded), (way, commanded))
        )
        cosine = both / np.sqrt(np.maximum(ways * commands, 1e-24))
        better = (windows.lengths > 0) & (cosine > best)
        best[better], gain[better] = cosine[better], (both / np.maximum(commands, 1e-24))[better]
    return np.where(np.isfinite(best), best, np.nan), gain


def target_agreement(position: Ragged, target: Ragged) -> Floats:
    """(e,) concordance of targets (n, 3) and the positions that follow: 1 where they coincide but for an offset.

    Twice the covariance over the sum of variances (Lin 1989, without its term for the offset): near 0 for deltas, whose
    variance is tiny beside that of positions.
    """
    best = np.full(len(position.lengths), np.nan)
    for lag in LAGS:
        i, steps = position.pairs(lag)
        there, wanted = (_centred(steps.of(x)) for x in (position.values[i + lag].astype(np.float64), target.values[i]))
        both = steps.of((there * wanted).sum(axis=1)).sum()
        spread = steps.of((there**2 + wanted**2).sum(axis=1)).sum()
        best = np.fmax(best, 2 * both / np.maximum(spread, 1e-12))
    return best


def gripper_agreement(opening: Ragged, command: Ragged) -> Floats:
    """(e,) whether a gripper (n,) goes where it is told to, -1 to 1; NaN where nothing says.

    Checked by the share of its motion that goes towards the command: a command leads, however slow the gripper is, so
    only this command and the next ones count. A measured opening that repeats the command (or its opposite) tells by
    its level instead.
    """
    opened, commanded = opening.values.astype(np.float64), command.values.astype(np.float64)
    towards = np.full(len(opening.lengths), np.nan)
    for lag in LAGS:
        i, steps = opening.pairs(max(lag, 1))
        change = opened[i + 1] - opened[i]
        change = np.where(np.abs(change) > JITTER, change, 0.0) * (commanded[i + lag] - opened[i])
        total = steps.of(np.abs(change)).sum()
        share = steps.of(change).sum() / np.maximum(total, 1e-12)
        towards = np.fmax(towards, np.where(total > 1e-6, share, np.nan))
    level = _correlation(opening, opened, commanded)
    return np.where(np.abs(level) > REPEATS, level, towards)


def _correlation(rows: Ragged, x: Floats, y: Floats) -> Floats:
    """(e,) of values (n,); NaN where one of them never changes."""
    x, y = _centred(rows.of(x)), _centred(rows.of(y))
    xx, yy, xy = (rows.of(v).sum() for v in (x * x, y * y, x * y))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((xx > 1e-9) & (yy > 1e-9), xy / np.sqrt(xx * yy), np.nan)


def _centred(steps: Ragged) -> Floats:
    return steps.values - steps.spread(steps.mean())
