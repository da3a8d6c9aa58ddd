"""Video in and out through PyAV: H.264, HEVC, AV1, VP9 and whatever else its FFmpeg knows.

A clip is decoded once, from its start, by one thread: more threads cost up to 80 % more work, and ingest scales by
tasks. Time is what the stream says (presentation timestamps), never frame number over nominal rate: a resampled clip
takes for each instant the frame nearest to it, so that nothing drifts in streams of variable rate. Frames are scaled
straight from the stream's YUV (`resize.py`): 0.53 ms for 640x480 to 256 square, against 1.4 ms by way of PIL.

A picture that lasts is repeated for two seconds; a longer gap is a cut, and nothing is made up for it.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray

from dataengine.episode import CameraFrames
from dataengine.errors import RecordError
from dataengine.formats.byte_range import Location, name_of
from dataengine.formats.video.picture import camera_frames, shrink, upright
from dataengine.formats.video.stream import Player, check_bytes, check_played, named, open_video, pixel_aspect
from dataengine.framing import Fit, Framing

HOLD_S = 2.0
"""A picture that stays for longer than this, and for longer than two instants, is not repeated: recorders of screens
write one when something changes, but a paused or broken recording is no still scene."""
RATE_SLACK = 0.01
"""A stream may be this much slower than asked: 29.97 for 30."""

Codec = Literal["av1", "vp9", "h264"]
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "av1": ("libsvtav1", {"preset": "8", "crf": "30", "svtav1-params": "lp=1"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "crf": "30", "b:v": "0"}),
    "h264": ("libx264", {"preset": "veryfast", "crf": "20"}),
}


@dataclass(frozen=True)
class Clip:
    """The frames of one decoded video and how often they come."""

    frames: CameraFrames
    rate_hz: float
    """Frames in a second; the stream's own mean where nothing was resampled."""
    time_s: NDArray[np.float64]
    """(t,) presentation time of each frame that was taken, from the first."""
    start_s: float
    """Presentation time of the first: in the stream, or after the container's start in what `cut` cuts."""
    begins_s: float | None = None
    """Instant that the first frame stands for, as `start_s` counts, where a rate was asked of `cut`."""
    clamped: str = ""
    """What of a wanted range the file does not hold."""


def decode(path: Location, frame_size: int, rate_hz: float | None = None, *, how: Fit = "squash") -> Clip:
    """Decode a whole file into JPEG frames within `frame_size`; raise RecordError, in one line, when it is damaged.

    With `rate_hz` frames are resampled to that rate by their timestamps. A stream slower than that keeps its own rate:
    repeated frames would show a robot or a hand that stands still.
    """
    with open_video(path) as (container, stream), named(name_of(path)):
        is_whole = check_bytes(path, container, stream)
        player = Player(container, stream)
        if rate_hz is not None and player.rate_hz:
            rate_hz = min(rate_hz, player.rate_hz)
        timed = _without_gaps(player.frames(), rate_hz) if rate_hz else player.frames()
        taken = list(shrink(timed, frame_size, how, aspect=pixel_aspect(stream)))
        frames = camera_frames(((size, data) for _, size, data in taken), frame_size, how)
        own_hz = rate_hz or player.rate_hz
        check_played(path, container, stream, player, is_whole)
    time_s = np.array([taken_s for taken_s, _, _ in taken])
    mean_hz = (len(taken) - 1) / (time_s[-1] - time_s[0]) if len(taken) > 1 else own_hz
    return Clip(frames, float(rate_hz or mean_hz), time_s - time_s[0], float(time_s[0]))


def pictures(path: Location, rate_hz: float) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Yield (seconds in the stream, upright RGB (height, width, 3)), as `stretches` does without telling of gaps."""
    return ((time_s, picture) for time_s, picture, _ in stretches(path, rate_hz))


def stretches(
    path: Location, rate_hz: float, framing: Framing | None = None
) -> Iterator[tuple[float, NDArray[np.uint8], bool]]:
    """Yield (seconds in the stream, upright RGB (height, width, 3), begins) at each instant k / rate after a start.

    Pictures have their own size, or that of frames at rest, as those that `decode` encodes. The first frame is a start,
    and the frame behind a gap, for which nothing is shown; `begins` marks both. Nothing is kept in memory. Raise
    RecordError, in one line, at damage, and at once where frames come more slowly than they are asked for.
    """
    name = name_of(path)
    with open_video(path) as (container, stream), named(name):
        is_whole = check_bytes(path, container, stream)
        player = Player(container, stream)
        if player.rate_hz and player.rate_hz < rate_hz * (1 - RATE_SLACK):
            raise RecordError(f"has {player.rate_hz:g} frames in a second, needs at least {rate_hz:g}")
        aspect = pixel_aspect(stream)
        last: tuple[Any, NDArray[np.uint8]] | None = None
        for time_s, frame, begins in _resample(player.frames(), rate_hz):
            if last is None or last[0] is not frame:
                last = (frame, np.ascontiguousarray(upright(frame, framing, aspect)))
            yield time_s, last[1], begins
        if last is None:
            raise RecordError("holds no frames")
        check_played(path, container, stream, player, is_whole)


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


def _resample(timed: Iterable[tuple[float, Any]], rate_hz: float) -> Iterator[tuple[float, Any, bool]]:
    """Take for every instant k / rate after a start the frame nearest to it; ties go to the earlier one.

    The first frame is a start, and each that comes later than a picture is held.
    """
    hold_s = max(HOLD_S, 2 / rate_hz)
    start_s, k = 0.0, 0
    before: tuple[float, Any] | None = None
    for time_s, frame in timed:
        if before is not None and time_s - before[0] > hold_s:
            yield from _until(before, start_s, k, rate_hz)
            before = None
        if before is None:
            start_s, k = time_s, 0
        else:
            while start_s + k / rate_hz <= (before[0] + time_s) / 2:
                yield *before, k == 0
                k += 1
        before = (time_s, frame)
    if before is not None:
        yield from _until(before, start_s, k, rate_hz)


def _until(last: tuple[float, Any], start_s: float, k: int, rate_hz: float) -> Iterator[tuple[float, Any, bool]]:
    """Yield the last frame for the instants that are left up to it."""
    while start_s + k / rate_hz <= last[0] + 1e-6:
        yield *last, k == 0
        k += 1


def _without_gaps(timed: Iterable[tuple[float, Any]], rate_hz: float) -> Iterator[tuple[float, Any]]:
    """Resample one clip; raise RecordError at a gap, for a clip is one stretch of time."""
    last_s: float | None = None
    for time_s, frame, begins in _resample(timed, rate_hz):
        if begins and last_s is not None:
            raise RecordError(f"shows nothing between {last_s:.2f} s and {time_s:.2f} s; cut it into two there")
        last_s = time_s
        yield time_s, frame
