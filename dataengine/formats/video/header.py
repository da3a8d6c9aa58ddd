"""What a video says of itself before anything is decoded: size and turn, codec, rate, and when it is shown."""

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from dataengine.formats.byte_range import Location, name_of
from dataengine.formats.video.mp4_header import Edit, TrackHeader, track_header
from dataengine.formats.video.picture import Turn, turn_by
from dataengine.formats.video.stream import Player, duration_s, named, open_video, origin_s, pixel_aspect

UNEVEN = 0.05
"""A step between two frames this much off the usual one makes a rate variable, if it is more than a tick, too."""

ROUNDED_S = 0.05
"""Edit lists count in units of the movie, often milliseconds; the stream's own ticks are exact."""


@dataclass(frozen=True)
class VideoInfo:
    """What the header of a file and the times of its first packets say; nothing is decoded."""

    codec: str
    height: int
    """As stored, before rotation."""
    width: int
    turn: Turn
    """How the stored picture is turned and mirrored when it is shown; only mp4 says so in its header."""
    sample_aspect: float
    """Width of a stored pixel over its height; 1 for what is nearly square."""
    num_frames: int
    """0 where the container does not say."""
    rate_hz: float
    """Mean rate; 0 where the container does not say."""
    is_variable_rate: bool
    """Whether some frame comes later or earlier than usual: of all in mp4, elsewhere of the first 64."""
    start_s: float
    """When the first frame is shown, after the container's start."""
    duration_s: float
    """Of the video stream, 0 where the container does not say."""
    edits: tuple[Edit, ...]
    """What an mp4's edit list shows; empty where it has none."""

    @property
    def end_s(self) -> float:
        """When the last frame has been shown, after the container's start; 0 where the container does not say.

        Where the last picture comes late, the stream's duration may count times of decoding; its edit list does not.
        """
        edited_s = sum(edit.lasts_s for edit in self.edits if edit.from_s is not None)
        shown_s = edited_s if edited_s > self.duration_s + ROUNDED_S else self.duration_s
        return self.start_s + shown_s if shown_s else 0.0

    @property
    def shown_size(self) -> tuple[int, int]:
        """Return height and width as a player shows them: square pixels, upright."""
        return self.turn.size(self.height, round(self.width * self.sample_aspect))


def probe(path: Location) -> VideoInfo:
    """Read the header of a file; raise RecordError when it is no readable video, or shown at a slant."""
    with open_video(path) as (container, stream), named(name_of(path)):
        track = track_header(path, stream.id) if "mp4" in container.format.name else TrackHeader()
        rate, context = stream.average_rate or stream.guessed_rate, stream.codec_context
        times = _times(container, stream)
        starts = times[0] if stream.start_time is None and len(times) else stream.start_time or 0
        first = next((time for time in times if time >= starts), starts)  # an edit list hides those before
        return VideoInfo(
            codec=context.name,
            height=context.height,
            width=context.width,
            turn=turn_by(track.matrix),
            sample_aspect=pixel_aspect(stream),
            num_frames=stream.frames,
            rate_hz=float(rate) if rate else 0.0,
            is_variable_rate=_is_uneven(times) or _is_uneven([entry.timestamp for entry in stream.index_entries]),
            start_s=float(first * stream.time_base) - origin_s(container, stream),
            duration_s=duration_s(container, stream),
            edits=track.edits,
        )


def measured_end_s(path: Location) -> float:
    """Tell by all packets when the last frame has been shown, where no header says so; nothing is decoded.

    Behind damage nothing counts, and 0 is the answer where nothing tells.
    """
    with open_video(path) as (container, stream), named(name_of(path)):
        player = Player(container, stream)
        with suppress(av.error.FFmpegError):
            deque(player.watched(player.unread), maxlen=0)
        tick_s = float(stream.time_base)  # times are rounded to it: what only rounding adds is not shown
        return max(player.end_s - tick_s - origin_s(container, stream), 0.0)


def _times(container: Any, stream: Any) -> list[int]:
    """Tell when the first frames are shown, in ticks, without those before which another packet may still come."""
    packets = [packet for packet in Player(container, stream).peeked if packet.pts is not None]
    decoded = [packet.dts for packet in packets if packet.dts is not None]
    until = max(decoded, default=float("inf"))
    return sorted(packet.pts for packet in packets if packet.pts <= until)


def _is_uneven(times: list[int]) -> bool:
    steps = np.diff(np.array(times, np.float64))
    if len(steps) < 2:
        return False
    off = np.abs(steps - np.median(steps))
    return bool((off > np.maximum(1.0, UNEVEN * np.median(steps))).any())
