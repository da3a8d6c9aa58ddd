"""Statistics as LeRobot keeps them: of each episode, and of a dataset by putting its episodes together.

Episodes are exact. Of a dataset minimum, maximum, mean and deviation are, too; its quantiles are the means of the
episodes' quantiles, weighted by their lengths, as lerobot's own tools make them. Pictures count from 0 to 1, by some
frames of each episode.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataengine.spread import spread

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
Stats = dict[str, NDArray[Any]]
"""Name of the statistic to values: (d,) of numbers, (3, 1, 1) of pictures, and `count` (1,)."""


def of_numbers(values: NDArray[Any]) -> Stats:
    """Describe (t,) or (t, d) numbers of one episode; of a value with gaps what is there, and 0 where nothing is."""
    rows = values.reshape(len(values), -1)
    exact = rows.astype(np.float64)
    if not np.isfinite(exact).all():
        return _with_gaps(exact)
    result = {
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        "mean": exact.mean(axis=0),
        "std": exact.std(axis=0),
        "count": np.array([len(rows)]),
    }
    levels = np.quantile(exact, list(QUANTILES.values()), axis=0)
    return result | dict(zip(QUANTILES, levels, strict=True))


def _with_gaps(rows: NDArray[np.float64]) -> Stats:
    """Describe each value by its finite numbers alone."""
    there = [column[np.isfinite(column)] for column in rows.T]
    each = [of_numbers(column if len(column) else np.zeros(1)) for column in there]
    joined = {name: np.concatenate([stats[name] for stats in each]) for name in each[0]}
    return joined | {"count": np.array([len(rows)])}


def sampled_frames(num_frames: int) -> set[int]:
    """Choose which frames of an episode to describe: evenly spaced, 100 or all of a short one, more of a long one."""
    count = max(min(100, num_frames), min(round(num_frames**0.75), 10_000))
    return set(spread(num_frames, count).tolist())


class PictureStats:
    """Counts the levels of RGB pictures, which holds all that is asked."""

    def __init__(self) -> None:
        self._levels = np.zeros((3, 256), np.int64)
        self._count = 0

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Count one picture (height, width, 3)."""
        self._count += 1
        for channel in range(3):
            self._levels[channel] += np.bincount(picture[..., channel].ravel(), minlength=256)

    def stats(self) -> Stats:
        """Describe what was counted."""
        values, total = np.arange(256) / 255, self._levels[0].sum()
        share = self._levels / total
        mean = share @ values
        there = self._levels > 0
        reached = np.cumsum(share, axis=1)
        result = {
            "min": values[there.argmax(axis=1)],
            "max": values[255 - there[:, ::-1].argmax(axis=1)],
            "mean": mean,
            "std": np.sqrt(np.maximum(share @ values**2 - mean**2, 0)),
            **{name: values[(reached >= q - 1e-12).argmax(axis=1)] for name, q in QUANTILES.items()},
        }
        return {name: value.reshape(3, 1, 1) for name, value in result.items()} | {"count": np.array([self._count])}


def together(stacked: Mapping[str, NDArray[Any]]) -> Stats:
    """Put statistics of one feature together, (n, ...) of n episodes or of n groups of them."""
    count = stacked["count"].astype(np.float64)
    weight = (count / count.sum()).reshape(-1, *[1] * (stacked["mean"].ndim - 1))
    mean = (stacked["mean"] * weight).sum(axis=0)
    spread = (stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2) * weight
    return {
        "min": stacked["min"].min(axis=0),
        "max": stacked["max"].max(axis=0),
        "mean": mean,
        "std": np.sqrt(spread.sum(axis=0)),
        "count": stacked["count"].sum(axis=0),
        **{name: (stacked[name] * weight).sum(axis=0) for name in QUANTILES},
    }
