"""Pictures of the study: those of the simulator at half their size, the same in recordings and in play."""

import numpy as np
from numpy.typing import NDArray


def half(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average pixels (height, width, 3) two by two."""
    height, width, _ = picture.shape
    blocks = picture.reshape(height // 2, 2, width // 2, 2, 3).astype(np.uint16)
    return ((blocks.sum(axis=(1, 3)) + 2) // 4).astype(np.uint8)
