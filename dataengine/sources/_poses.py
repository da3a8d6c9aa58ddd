"""Poses of hands as position and quaternion: checked, and made roll, pitch and yaw."""

import numpy as np
from numpy.typing import NDArray

from dataengine import conventions
from dataengine.errors import RecordError

FARTHEST_M = 10.0
"""No arm reaches this far from its base; farther out it is millimetres, or no position at all."""
NORM_WITHIN = 0.5
"""A quaternion's norm may be this far from 1: some are rounded, and they are normalised."""


def canonical(position: NDArray, quaternion_xyzw: NDArray, position_name: str, quaternion_name: str) -> NDArray:
    """(t, ..., 3) metres and (t, ..., 4) to (t, ..., 6) x y z roll pitch yaw; raise RecordError where one is no pose.

    The names are what a message calls the two, with the step behind.
    """
    norms = np.linalg.norm(quaternion_xyzw, axis=-1)
    if not (sound := np.abs(norms - 1) <= NORM_WITHIN).all():  # NaN is caught here too
        step, norm = _first(~sound, norms)
        raise RecordError(f"{quaternion_name}[{step}] is no rotation: norm {norm:.3g}, expected 1")
    farthest = np.abs(position).max(axis=-1)
    if (beyond := farthest > FARTHEST_M).any():
        step, distance = _first(beyond, farthest)
        raise RecordError(
            f"{position_name}[{step}] lies {distance:.4g} m from the base, expected less than {FARTHEST_M:g}; "
            "in another unit?"
        )
    return np.concatenate([position, conventions.quaternion_to_euler(quaternion_xyzw)], axis=-1)


def _first(mask: NDArray[np.bool_], values: NDArray) -> tuple[int, float]:
    """Return the step of the first place that was found, and its value."""
    index = tuple(np.argwhere(mask)[0])
    return int(index[0]), float(values[index])
