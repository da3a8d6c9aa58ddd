"""Videos that are damaged, or sound in a way that few are; their frames tell their numbers (`counted_video`)."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.support import counted_video

NUM_FRAMES = 100
RATE_HZ = 30
SIZE = (96, 128)
MIRRORED, QUARTER_TURN, SLANTED = (-1, 0, 0, 1), (0, 1, -1, 0), (0.7, 0.7, -0.7, 0.7)
TICKS_HZ = 1000


class _Pipe(io.RawIOBase):
    """Takes bytes and never goes back: what is written there cannot say how long it became."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: object) -> int:
        self.data += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def write_live_webm(path: Path) -> None:
    """A recording by a browser: no duration and no index."""
    pipe = _Pipe()
    with av.open(pipe, "w", format="webm", options={"live": "1"}) as container:
        stream = _stream(container, "libvpx-vp9", {"deadline": "realtime"})
        _mux(container, stream, [i / RATE_HZ for i in range(NUM_FRAMES)])
    path.write_bytes(bytes(pipe.data))


def write_timed(path: Path, times_s: list[float], *, sound_s: float = 0.0) -> None:
    """A video whose frames come at these times, with sound from 0 on if it has some."""
    with av.open(str(path), "w") as container:
        stream = _stream(container, "libx264", {"bf": "0"})
        sound = _sound(container, sound_s) if sound_s else None
        _mux(container, stream, times_s)
        if sound is not None:
            container.mux(sound.encode(None))


def write_two_streams(path: Path) -> None:
    """Two videos in one file; the frames of the second are numbered from 1000 on."""
    with av.open(str(path), "w") as container:
        streams = [_stream(container, "libx264", {}) for _ in range(2)]
        for i in range(NUM_FRAMES):
            for k, stream in enumerate(streams):
                container.mux(stream.encode(_frame(i + 1000 * k, i / RATE_HZ)))
        for stream in streams:
            container.mux(stream.encode(None))


def write_sound(path: Path) -> None:
    """No picture at all."""
    with av.open(str(path), "w") as container:
        container.mux(_sound(container, 1.0).encode(None))


def shown_by(data: bytes, matrix: tuple[float, float, float, float]) -> bytes:
    """Write another display matrix (a, b, c, d) into the first track of an mp4."""
    changed, at = bytearray(data), data.index(b"tkhd") + 4
    at += 4 + (32 if data[at] else 20) + 16
    a, b, c, d = (round(number * 2**16) for number in matrix)
    changed[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 2**30)
    return bytes(changed)


def cut_short(path: Path) -> None:
    """Lose the last tenth of an mp4 whose index comes first: a download that stopped."""
    whole = path.with_suffix(".whole.mp4")
    counted_video.write(whole, NUM_FRAMES, RATE_HZ, options={"bf": "0"})
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    whole.unlink()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 9 // 10])


def _stream(container: av.container.OutputContainer, codec: str, options: dict[str, str]) -> av.VideoStream:
    stream = container.add_stream(codec, rate=RATE_HZ, options=options)
    stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
    stream.codec_context.time_base = Fraction(1, TICKS_HZ)
    return stream


def _frame(number: int, time_s: float) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(counted_video.picture(number, *SIZE), format="rgb24")
    frame.pts, frame.time_base = round(time_s * TICKS_HZ), Fraction(1, TICKS_HZ)
    return frame


def _mux(container: av.container.OutputContainer, stream: av.VideoStream, times_s: list[float]) -> None:
    for number, time_s in enumerate(times_s):
        container.mux(stream.encode(_frame(number, time_s)))
    container.mux(stream.encode(None))


def _sound(container: av.container.OutputContainer, lasts_s: float) -> av.AudioStream:
    stream = container.add_stream("aac", rate=48_000)
    for i in range(int(lasts_s * 48_000) // 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 1024 * i
        container.mux(stream.encode(frame))
    return stream
