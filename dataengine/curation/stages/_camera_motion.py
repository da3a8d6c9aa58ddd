"""The motion of a whole picture between two frames: an affine map, found from coarse to fine and deaf to what moves by
itself (Odobez and Bouthemy 1995: robust parametric motion by iteratively reweighted least squares).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SIDE = 48
"""Cells along a side of the pictures that are compared."""
ROUNDS = 8
LEVELS = (4.0, 2.0, 1.0)
"""Blur in cells, first the widest: a fit finds shifts of about twice as many."""
MARGIN = 3
"""Cells at the border that do not count: what is behind them is not known."""
LEAST_SCALE = 2.0
"""Residual in grey levels from which on a cell counts less."""


def between(first: NDArray[np.float32], second: NDArray[np.float32]) -> tuple[float, float, float]:
    """Return the mean shift in shares of the side, and the mean change of brightness before and after it is undone."""
    motion = _fit(first.astype(np.float64), second.astype(np.float64))
    warped, inside = _warped(second.astype(np.float64), motion)
    rows, columns = _grid(SIDE)
    down = motion[0] + motion[2] * rows + motion[3] * columns
    right = motion[1] + motion[4] * rows + motion[5] * columns
    before = np.abs(second - first)[inside]
    after = np.abs(warped - first)[inside]
    if not inside.any():
        return 0.0, 0.0, 0.0
    return (
        float(np.hypot(down, right)[inside].mean() / SIDE),
        float(before.mean()),
        float(min(after.mean(), before.mean())),
    )


def _fit(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find (6,) shift down and right, and how they change with row and column, that leads from first to second."""
    motion = np.zeros(6)
    motion[:2] = _shift(first, second)
    rows, columns = _grid(SIDE)
    for blur in LEVELS:
        a, b = (ndimage.gaussian_filter(picture, blur, mode="nearest") for picture in (first, second))
        for _ in range(ROUNDS):
            warped, inside = _warped(b, motion)
            down, right = np.gradient(warped)
            residual = a - warped
            basis = np.stack([down, right, down * rows, down * columns, right * rows, right * columns], axis=-1)[inside]
            error = residual[inside]
            spread = max(1.4826 * float(np.median(np.abs(error))), LEAST_SCALE) if error.size else LEAST_SCALE
            weight = 1 / (1 + (error / (2 * spread)) ** 2) ** 2
            system = basis.T @ (basis * weight[:, None]) + 1e-6 * np.eye(6)
            step = np.linalg.solve(system, basis.T @ (weight * error))
            motion = motion + step
            if np.abs(step[:2]).max() < 1e-3:
                break
    return motion


def _shift(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the whole shift (down, right) at which two pictures correlate best, by phase."""
    window = np.hanning(SIDE)[:, None] * np.hanning(SIDE)
    spectra = [np.fft.rfft2((picture - picture.mean()) * window) for picture in (first, second)]
    cross = spectra[1] * np.conj(spectra[0])
    peak = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-9), (SIDE, SIDE))
    at = np.array(np.unravel_index(int(peak.argmax()), peak.shape), float)
    return np.where(at > SIDE / 2, at - SIDE, at)


def _warped(picture: NDArray[np.float64], motion: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Bring a picture back along a motion, and tell which cells of it are known."""
    rows, columns = _grid(SIDE)
    index_rows, index_columns = np.mgrid[:SIDE, :SIDE].astype(float)
    wanted_rows = index_rows + motion[0] + motion[2] * rows + motion[3] * columns
    wanted_columns = index_columns + motion[1] + motion[4] * rows + motion[5] * columns
    warped = ndimage.map_coordinates(picture, [wanted_rows, wanted_columns], order=1, mode="nearest")
    last = SIDE - 1 - MARGIN
    known = [(each >= MARGIN) & (each <= last) for each in (wanted_rows, wanted_columns, index_rows, index_columns)]
    return warped, np.logical_and.reduce(known)


def _grid(side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count rows and columns from the middle, in halves of a side."""
    along = (np.arange(side) - (side - 1) / 2) / (side / 2)
    rows, columns = np.meshgrid(along, along, indexing="ij")
    return rows, columns
