"""The one resizer: wherever a frame at rest (uint8, RGB) changes its size, it does so here.

Ingest, the loader, labels of a corpus and of a video, policies and plans all call `resize`, `to_rgb` or
`at_rest`, so that a model sees the same pixels wherever they come from. It is swscale's bilinear filter, which
is as wide as what it averages and so does not alias, on all of the colours and one thread, to the same bits on every
machine. Released models were trained with the like; `docs/decisions/0022_one_resizer.md` has the figures.

A frame that is not square changes its shape, or keeps it: `dataengine/framing.py` says how.
"""

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataengine.framing import Framing

SCALERS = 8
"""Kept by each thread: setting one up takes as long as scaling a picture, and cameras of several sizes take turns."""
KEPT = threading.local()


def at_rest(image: NDArray[np.uint8], framing: Framing) -> NDArray[np.uint8]:
    """Bring an image (height, width, 3) of any size to rest; one that fits is returned as it is."""
    return framing.placed(resize(image, *framing.scaled(*image.shape[:2])))


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Scale an image (h, w, 3) to (height, width, 3), whatever its shape; one of that size is returned as it is.

    Raise ValueError for sizes that no picture has.
    """
    if image.shape[:2] == (height, width):
        return image
    from av import VideoFrame  # here: what fits needs no FFmpeg

    return to_rgb(VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24"), height, width)


def to_rgb(frame: Any, height: int, width: int) -> NDArray[np.uint8]:
    """Scale a decoded frame of a video to RGB (height, width, 3), in one pass from its own colours."""
    from av.error import FFmpegError
    from av.video.reformatter import Interpolation

    how = Interpolation.BILINEAR
    if (frame.height, frame.width) != (
        height,
        width,
    ):  # colours of a frame that keeps its size are as FFmpeg makes them
        how |= Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    scaler = _scaler(frame.format.name, frame.height, frame.width, height, width)
    try:
        scaled = scaler.reformat(frame, width, height, format="rgb24", interpolation=how, threads=1)
    except FFmpegError as error:
        raise ValueError(f"cannot be scaled from {frame.height}x{frame.width} to {height}x{width}") from error
    return np.asarray(scaled.to_ndarray(), np.uint8)


def _scaler(*sizes: object) -> Any:
    """Give this thread's scaler for a format and sizes; the one that was not used for longest goes."""
    kept: OrderedDict[object, Any] | None = getattr(KEPT, "scalers", None)
    if kept is None:
        kept = KEPT.scalers = OrderedDict()
    if sizes not in kept:
        from av.video.reformatter import VideoReformatter

        kept[sizes] = VideoReformatter()
        if len(kept) > SCALERS:
            kept.popitem(last=False)
    kept.move_to_end(sizes)
    return kept[sizes]
