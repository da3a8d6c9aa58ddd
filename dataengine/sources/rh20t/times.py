"""Times of RH20T: milliseconds since 1970, which are 13 digits until the year 2286."""

import numpy as np
from numpy.typing import ArrayLike

from dataengine.errors import RecordError

LEAST_MS, MOST_MS = 1e12, 1e13
"""From 2001 on; seconds, micro- and nanoseconds of today lie outside."""


def check(times_ms: ArrayLike, where: str) -> None:
    """Raise RecordError when one of some times is in another unit, or counted from elsewhere."""
    times = np.asarray(times_ms, dtype=np.float64).ravel()
    others = times[~((times >= LEAST_MS) & (times < MOST_MS))]  # NaN is caught here too
    if len(others):
        raise RecordError(f"{where} is {others[0]:.14g}, expected milliseconds since 1970, 13 digits; in another unit?")
