"""Pictures that spell their number, which way is up and what is left, and videos of them as other tools write them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 11
X265 = {"x265-params": "log-level=none:pools=1:frame-threads=1"}


def coded(k: int, height: int = 96, width: int = 160) -> np.ndarray:
    """Eleven columns of black or white spell k; the top is a grey bar, the left a red one."""
    picture = np.full((height, width, 3), 40, np.uint8)
    edges = np.linspace(width // 8, width, BITS + 1).astype(int)
    for bit in range(BITS):
        picture[height // 4 :, edges[bit] : edges[bit + 1]] = 235 if k >> bit & 1 else 20
    picture[: height // 4] = 160
    picture[:, : width // 8] = (220, 30, 30)
    return picture


def number_of(picture: np.ndarray) -> int:
    """Read the number off a picture of any size."""
    height, width = picture.shape[:2]
    edges = np.linspace(width // 8, width, BITS + 1).astype(int)
    grey = picture[height // 2 :].mean(axis=(0, 2))
    return sum(1 << bit for bit in range(BITS) if grey[edges[bit] + 1 : edges[bit + 1] - 1].mean() > 128)


def write_video(
    path: Path,
    numbers: Sequence[int],
    rate: int = 20,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    times_ms: Sequence[int] | None = None,
    last_ms: int | None = None,
    size: tuple[int, int] = (96, 160),
) -> Path:
    """Write coded pictures at k / rate, or at given milliseconds, the last one to stay for `last_ms`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    base = Fraction(1, 1000) if times_ms is not None else Fraction(1, rate)
    packets = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate), options=options or {"g": "20", "crf": "12"})
        stream.height, stream.width = size
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        stream.codec_context.time_base = base
        for k, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(coded(number, *size), format="rgb24")
            frame.pts, frame.time_base = (k if times_ms is None else times_ms[k]), base
            packets += stream.encode(frame)
        packets += stream.encode(None)
        last = max(packets, key=lambda packet: packet.pts)
        if last_ms is not None:
            last.duration = round(last_ms / 1000 / last.time_base)
        for packet in packets:
            container.mux(packet)
    return path


def remux(source: Path, target: Path, later_s: float = 0.0, options: dict[str, str] | None = None) -> Path:
    """Copy packets into another container, all of them later."""
    with av.open(str(source)) as given, av.open(str(target), "w", container_options=options or {}) as container:
        old = given.streams.video[0]
        new = container.add_stream_from_template(old)
        for packet in given.demux(old):
            if packet.dts is None:
                continue
            shift = round(later_s / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, new
            container.mux(packet)
    return target
