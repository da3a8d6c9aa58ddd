"""How alike motions are: cosines, and how sure their mean is."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLED = 2000


def cosines(one: NDArray[np.floating], other: NDArray[np.floating]) -> Floats:
    """Cosines (n,) between rows (n, w); 0 where one of them has no direction."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.where(norms > 1e-12, (a * b).sum(axis=1) / np.maximum(norms, 1e-12), 0.0)


def interval_of_mean(units: Floats, random: np.random.Generator) -> tuple[float, float]:
    """Bound the mean of units (n,) that are independent of one another, 95 %, by bootstrap."""
    drawn = units[random.integers(0, len(units), (RESAMPLED, len(units)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)
