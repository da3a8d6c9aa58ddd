"""Some of many, evenly: no draw, so the same many give the same few."""

import numpy as np
from numpy.typing import NDArray


def spread(total: int, most: int) -> NDArray[np.int64]:
    """Take up to `most` of so many positions, evenly, the first and the last among them."""
    return np.unique(np.linspace(0, max(total - 1, 0), min(most, total)).round().astype(np.int64))
