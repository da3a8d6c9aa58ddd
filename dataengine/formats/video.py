"""Video in and out through PyAV: H.264, HEVC, AV1, VP9 and whatever else its FFmpeg knows.

A clip is decoded once, from its start, by one thread: more threads cost up to 80 % more work, and ingest scales by
tasks. Time is what the stream says (presentation timestamps), never frame number over nominal rate: a resampled clip
takes for each instant the frame nearest to it, so that nothing drifts in streams of variable rate. Scaling is swscale's
area filter, straight from the stream's YUV: 0.53 ms for 640x480 to 256 square, against 1.4 ms by way of PIL.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from dataengine.episode import CameraFrames
from dataengine.errors import RecordError
from dataengine.formats import jpeg
from dataengine.formats.byte_range import ByteRange, Place, name_of, size_of

TOLERANCE_S = 0.25
"""A stream may end this much before its stated duration; more is a truncated file."""

RATE_SLACK = 0.01
"""A stream may be this much slower than asked: 29.97 for 30."""

Codec = Literal["av1", "vp9", "h264"]
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "av1": ("libsvtav1", {"preset": "8", "crf": "30", "svtav1-params": "lp=1"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "crf": "30", "b:v": "0"}),
    "h264": ("libx264", {"preset": "veryfast", "crf": "20"}),
}


@dataclass(frozen=True)
class VideoInfo:
    """What the header of a file says; nothing is decoded."""

    codec: str
    height: int
    """As stored, before rotation."""
    width: int
    num_frames: int
    """0 where the container does not say."""
    rate_hz: float
    """Mean rate; 0 where the container does not say."""
    duration_s: float
    """0 where the container does not say."""


@dataclass(frozen=True)
class Clip:
    """The frames of one decoded video and how often they come."""

    frames: CameraFrames
    rate_hz: float
    """Frames in a second; the stream's own mean where nothing was resampled."""
    time_s: NDArray[np.float64]
    """(t,) presentation time of each frame that was taken, from the first."""


def probe(path: Place) -> VideoInfo:
    """Read the header of a file; raise RecordError when it is no readable video."""
    with open_video(path) as (container, stream):
        return _info(container, stream)


def decode(path: Place, frame_size: int, rate_hz: float | None = None) -> Clip:
    """Decode a whole file into JPEG frames within `frame_size`; raise RecordError, in one line, when it is damaged.

    With `rate_hz` frames are resampled to that rate by their timestamps. A stream slower than that keeps its own rate:
    repeated frames would show a robot or a hand that stands still.
    """
    name = name_of(path)
    with open_video(path) as (container, stream):
        info = _info(container, stream)
        if rate_hz is not None and info.rate_hz:
            rate_hz = min(rate_hz, info.rate_hz)
        timed = timed_frames(stream)
        try:
            taken = list(shrink(_resample(timed, rate_hz) if rate_hz else timed, frame_size))
        except (av.error.FFmpegError, OSError) as error:
            raise RecordError(f"{name}: cannot be decoded ({error.strerror})") from error
        except RecordError as error:
            raise RecordError(f"{name}: {error}") from error
    if not taken:
        raise RecordError(f"{name}: holds no frames")
    time_s = np.array([taken_s for taken_s, _, _ in taken])
    frame_s = 1 / (rate_hz or info.rate_hz or np.inf)
    if time_s[-1] + frame_s < info.duration_s - max(TOLERANCE_S, 2 * frame_s):
        raise RecordError(f"{name}: ends at {time_s[-1]:.2f} s of {info.duration_s:.2f} s; truncated?")
    native = {size for _, size, _ in taken}
    if len(native) > 1:
        raise RecordError(f"{name}: changes its size from {taken[0][1]} to {(native - {taken[0][1]}).pop()}")
    (height, width) = taken[0][1]
    fitted = (frame_size, frame_size) if max(height, width) > frame_size else (height, width)
    frames = CameraFrames(
        jpegs=[data for _, _, data in taken],
        height=fitted[0],
        width=fitted[1],
        native_height=height,
        native_width=width,
    )
    mean_hz = (len(taken) - 1) / (time_s[-1] - time_s[0]) if len(taken) > 1 else info.rate_hz
    return Clip(frames, float(rate_hz or mean_hz), time_s - time_s[0])


def pictures(path: Place, rate_hz: float) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Yield (seconds in the stream, upright RGB (height, width, 3)) at each instant k / rate after the first frame.

    Nothing is kept in memory. Raise RecordError, in one line, at damage, and at once where frames come more slowly
    than they are asked for.
    """
    name = name_of(path)
    with open_video(path) as (container, stream):
        info = _info(container, stream)
        if info.rate_hz and info.rate_hz < rate_hz * (1 - RATE_SLACK):
            raise RecordError(f"{name}: has {info.rate_hz:g} frames in a second, needs at least {rate_hz:g}")
        reformatter = VideoReformatter()
        start_s, time_s = 0.0, None
        last: tuple[Any, NDArray[np.uint8]] | None = None
        try:
            for time_s, frame in _resample(timed_frames(stream), rate_hz):
                if last is None:
                    start_s = time_s
                if last is None or last[0] is not frame:
                    plain = reformatter.reformat(frame, format="rgb24").to_ndarray()
                    last = (frame, np.ascontiguousarray(np.rot90(plain, round(frame.rotation / 90))))
                yield time_s, last[1]
        except (av.error.FFmpegError, OSError) as error:
            raise RecordError(f"{name}: cannot be decoded ({error.strerror})") from error
        except RecordError as error:
            raise RecordError(f"{name}: {error}") from error
        if time_s is None:
            raise RecordError(f"{name}: holds no frames")
        if time_s - start_s + 1 / rate_hz < info.duration_s - max(TOLERANCE_S, 2 / rate_hz):
            raise RecordError(f"{name}: ends at {time_s - start_s:.2f} s of {info.duration_s:.2f} s; truncated?")


def encode(path: str | Path, frames: Iterable[NDArray[np.uint8]], rate_hz: float, codec: Codec = "h264") -> None:
    """Write RGB frames (height, width, 3) of one even size as a video without sound; the suffix picks the container."""
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path}: no frames to encode")
    name, options = ENCODERS[codec]
    os.environ.setdefault("SVT_LOG", "1")  # errors only: it prints twenty lines on every start otherwise
    with av.open(str(path), "w") as container:
        stream = container.add_stream(name, rate=Fraction(rate_hz).limit_denominator(1001), options=options)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for image in chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode(None))


@contextmanager
def open_video(path: Place) -> Iterator[tuple[Any, Any]]:
    """Open a file with its first video stream, decoded by one thread."""
    name, num_bytes = name_of(path), size_of(path)
    if num_bytes is None:
        raise RecordError(f"{name}: the video is missing")
    if not num_bytes:
        raise RecordError(f"{name}: the video has 0 bytes")
    with ExitStack() as opened:
        try:
            place = opened.enter_context(path.open()) if isinstance(path, ByteRange) else str(path)
            container = opened.enter_context(av.open(place, metadata_errors="replace"))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise RecordError(f"{name}: not a readable video ({reason}, {num_bytes} bytes)") from error
        if not container.streams.video:
            raise RecordError(f"{name}: has no video stream")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        yield container, stream


def _info(container: Any, stream: Any) -> VideoInfo:
    rate = stream.average_rate or stream.guessed_rate
    duration_s = 0.0
    if stream.duration is not None:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration is not None and len(container.streams) == 1:  # sound may outlast the picture
        duration_s = container.duration / av.time_base
    context = stream.codec_context
    return VideoInfo(
        codec=context.name,
        height=context.height,
        width=context.width,
        num_frames=stream.frames,
        rate_hz=float(rate) if rate else 0.0,
        duration_s=duration_s,
    )


def timed_frames(stream: Any) -> Iterator[tuple[float, Any]]:
    """Decode in order of presentation; a frame that does not come after the last one is left out."""
    last_s = -np.inf
    for i, frame in enumerate(stream.container.decode(stream)):
        if frame.is_corrupt:
            raise RecordError(f"frame {i} is damaged")
        if frame.time is None:
            raise RecordError(f"frame {i} has no timestamp")
        if frame.time > last_s:
            last_s = frame.time
            yield frame.time, frame


def _resample(timed: Iterable[tuple[float, Any]], rate_hz: float) -> Iterator[tuple[float, Any]]:
    """Take for every instant k / rate after the first frame the frame nearest to it; ties go to the earlier one."""
    start_s: float | None = None
    before: tuple[float, Any] | None = None
    k = 0
    for time_s, frame in timed:
        if before is None or start_s is None:
            start_s = time_s
        else:
            while start_s + k / rate_hz <= (before[0] + time_s) / 2:
                yield before
                k += 1
        before = (time_s, frame)
    while before is not None and start_s is not None and start_s + k / rate_hz <= before[0] + 1e-6:
        yield before
        k += 1


def shrink(timed: Iterable[tuple[float, Any]], frame_size: int) -> Iterator[tuple[float, tuple[int, int], bytes]]:
    """Scale, turn upright and encode each frame; yields (time, native size as shown, JPEG)."""
    reformatter = VideoReformatter()
    last: tuple[Any, tuple[int, int], bytes] | None = None
    for time_s, frame in timed:
        if last is None or last[0] is not frame:
            large = max(frame.height, frame.width) > frame_size
            size = (frame_size, frame_size) if large else (frame.width, frame.height)
            scaled = reformatter.reformat(frame, *size, format="rgb24", interpolation=Interpolation.AREA)
            quarter_turns = round(frame.rotation / 90)
            upright = np.rot90(np.asarray(scaled.to_ndarray(), np.uint8), quarter_turns)
            native = (frame.width, frame.height) if quarter_turns % 2 else (frame.height, frame.width)
            last = (frame, native, jpeg.encode(upright))
        yield time_s, last[1], last[2]
