"""Writes videos of recordings and plans; a file has its name only once it is whole."""

import os
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataengine.whole_file import whole_file

CODECS: Mapping[str, Mapping[str, str]] = {
    "libsvtav1": {"preset": "10", "crf": "32", "svtav1-params": "lp=1"},
    "libx264": {"preset": "veryfast", "crf": "20", "threads": "1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "0"},
}
"""Fast settings: what is recorded is synthetic and small, and recording must not dominate a demo."""


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]], rate_hz: int, codec: str) -> int:
    """Encode frames (height, width, 3) as yuv420p without sound; return how many there were."""
    os.environ.setdefault("SVT_LOG", "1")  # errors only: the AV1 encoder otherwise prints its settings
    import av

    av.logging.set_level(av.logging.PANIC)
    count = 0
    with whole_file(path) as partial, av.open(str(partial), "w", format=path.suffix.removeprefix(".")) as container:
        stream = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream(codec, rate=Fraction(rate_hz), options=dict(CODECS[codec]))
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            count += 1
        if stream is not None:
            container.mux(stream.encode(None))
    return count
