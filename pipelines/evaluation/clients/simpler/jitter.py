"""Starts beside those of the benchmark: one of its layouts, a little moved and turned, another for every seed.

Demonstrations begin at these, so that no start which is evaluated was ever seen.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

MOVED_M, TURNED_RAD = 0.02, 0.25
"""Most that an object is moved along x and along y, and turned about the vertical."""


def jittered(
    seed: int, positions: NDArray[np.float64], turns: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw positions (2, 3) and turns (2, 4), w first, from layouts (n, 2, 3) and (m, 2, 4); equal seeds draw alike."""
    random = np.random.default_rng(seed)
    position, turn = positions[random.integers(len(positions))].copy(), turns[random.integers(len(turns))]
    position[:, :2] += random.uniform(-MOVED_M, MOVED_M, (2, 2))
    about = Rotation.from_euler("z", random.uniform(-TURNED_RAD, TURNED_RAD, (2, 1)))
    x, y, z, w = (about * Rotation.from_quat(turn[:, [1, 2, 3, 0]])).as_quat().T
    return position, np.stack([w, x, y, z], axis=1)
