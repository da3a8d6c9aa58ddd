"""A few small grey pictures of an episode, for the stages that judge cameras."""

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from dataengine.episode import Episode

NUM_SAMPLES = 12
"""Pictures looked at, evenly spaced over the episode: a fixed cost, however long the episode."""
CELLS = 16
"""Cells along a side that a picture is averaged to: noise disappears, a small thing that moves does not."""


def sample_cells(episode: Episode) -> NDArray[np.float32]:
    """(n, cells, cells) mean brightness 0 to 255 of frames of the main camera; n is 0 without a camera."""
    if not episode.cameras:
        return np.zeros((0, CELLS, CELLS), dtype=np.float32)
    slot = "primary" if "primary" in episode.cameras else next(iter(episode.cameras))
    jpegs = episode.cameras[slot].jpegs
    places = np.unique(np.linspace(0, len(jpegs) - 1, NUM_SAMPLES).round().astype(int))
    return np.stack([_cells(jpegs[int(i)]) for i in places])


def _cells(jpeg: bytes) -> NDArray[np.float32]:
    # libjpeg scales while it decodes: a picture of 256 becomes 64 at a fraction of the cost.
    grey = simplejpeg.decode_jpeg(jpeg, colorspace="GRAY", fastdct=True, min_height=4 * CELLS, min_width=4 * CELLS)
    height, width = grey.shape[:2]
    if min(height, width) < CELLS:
        raise ValueError(f"a camera picture has {width} x {height} pixels, expected at least {CELLS} a side")
    rows, columns = (np.linspace(0, side, CELLS + 1).round().astype(int) for side in (height, width))
    sums = np.add.reduceat(np.add.reduceat(grey[..., 0], rows[:-1], axis=0, dtype=np.int64), columns[:-1], axis=1)
    return (sums / np.outer(np.diff(rows), np.diff(columns))).astype(np.float32)
