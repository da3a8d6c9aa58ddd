"""Videos whose every frame tells its number: 16 blocks, black or white, that survive scaling, JPEG and any codec."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import simplejpeg

BLOCKS = 4
"""Blocks along each side: 16 bits."""


def picture(number: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Draw a number as blocks over a whole picture (height, width, 3)."""
    bits = np.array([number >> i & 1 for i in range(BLOCKS**2)], bool).reshape(BLOCKS, BLOCKS)
    rows, columns = np.arange(height) * BLOCKS // height, np.arange(width) * BLOCKS // width
    return np.repeat(np.where(bits[rows][:, columns], 235, 20).astype(np.uint8)[..., None], 3, axis=2)


def number(image: np.ndarray) -> int:
    """Read the number off a picture of any size."""
    height, width = image.shape[:2]
    centres = (2 * np.arange(BLOCKS) + 1) / (2 * BLOCKS)
    bits = image[(centres * height).astype(int)][:, (centres * width).astype(int)].mean(axis=2) > 127
    return sum(1 << i for i, bit in enumerate(bits.ravel()) if bit)


def numbers(jpegs: list[bytes]) -> list[int]:
    """Read the numbers off encoded frames."""
    return [number(simplejpeg.decode_jpeg(jpeg, "RGB")) for jpeg in jpegs]


def write(
    path: Path,
    num_frames: int,
    rate_hz: float = 30.0,
    *,
    size: tuple[int, int] = (96, 128),
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    draw: Callable[[int, int, int], np.ndarray] = picture,
) -> Path:
    """Write frames 0, 1, ... of (height, width) with FFmpeg's encoder; the suffix picks the container."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=Fraction(rate_hz).limit_denominator(1001), options=dict(options or {})
        )
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for i in range(num_frames):
            frame = av.VideoFrame.from_ndarray(draw(i, *size), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
