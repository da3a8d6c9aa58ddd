"""A video played forwards, past damage and over stretches that nobody wants.

Times are seconds after the container's start, as players count them: a transport stream may begin at an hour, and a
picture that comes 0.5 s later than the sound comes at 0.5 s.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from dataengine.errors import RecordError
from dataengine.formats.byte_range import Location
from dataengine.formats.video.mp4_header import track_header
from dataengine.formats.video.packets import Packets, Wanted
from dataengine.formats.video.stream import (
    Player,
    check_bytes,
    check_played,
    frames_at,
    frames_from,
    open_video,
    origin_s,
    pixel_aspect,
    timed_frames,
)
from dataengine.guard import too_much
from dataengine.reading import goes_on

JUMP_FRAMES = 12
"""Whose decoding a seek must spare: it costs as much as 5 to 7 at 480p and at 1080p (`bench_clips.py`), in an open
group of pictures twice that."""
BLIND_JUMP_S = 4.0
"""The same where no index tells how far before the wanted frame the key frame lies."""
SEEKABLE = ("mov", "matroska")
"""Containers whose index FFmpeg finds frames by; others are played through."""
TELL_EVERY = 256
"""Frames after which a worker's watch hears that work goes on."""


@dataclass(frozen=True)
class Damage:
    """A stretch of which nothing is shown: from what could not be decoded to the next key frame."""

    from_s: float
    until_s: float
    """Infinite where no key frame follows."""
    reason: str


class FrameDecoder:
    """Plays a file once; use as a context. Raise RecordError when it cannot be opened."""

    def __init__(self, path: Location) -> None:
        self._path = path
        self._open = ExitStack()
        self._count = 0
        self._frames: Iterator[tuple[float, Any]] = iter(())
        self._into: Damage | None = None
        self._wanted: Wanted | None = None
        self._end_s = -math.inf
        self._load()
        self._may_jump = any(kind in self._container.format.name for kind in SEEKABLE) and not self._is_pieced()

    def __enter__(self) -> "FrameDecoder":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def rate_hz(self) -> float:
        """Frames in a second where they come regularly; 0 where nothing tells."""
        return self._player.rate_hz

    @property
    def aspect(self) -> float:
        """Width of a stored pixel over its height."""
        return pixel_aspect(self._stream)

    @property
    def step_s(self) -> float:
        """Seconds between two frames where they come regularly; 0 where nothing tells."""
        return 1 / self.rate_hz if self.rate_hz else 0.0

    @property
    def first_s(self) -> float:
        """When the first frame is shown."""
        times = [packet.pts for packet in self._player.peeked if packet.pts is not None]
        return float(min(times, default=0) * self._stream.time_base) - self._origin_s

    @property
    def tick_s(self) -> float:
        """The least difference of two times in this file."""
        return float(self._stream.time_base)

    @property
    def end_s(self) -> float:
        """When the last of the frames so far has been shown."""
        return max(self._end_s, self._player.end_s - self._origin_s)

    def want(self, wanted: Wanted) -> None:
        """Have frames left out, where that spares decoding, for which `wanted(before_s, time_s, after_s)` is False."""
        if self._is_one_by_one:
            return
        self._wanted = lambda *times_s: wanted(*(time_s - self._origin_s for time_s in times_s))
        self._packets.wanted = self._wanted

    def next(self) -> tuple[float, Any] | Damage | None:
        """Go on to the next frame; None behind the last one."""
        if self._into is not None:
            damage, self._into = self._into, None
            return damage
        try:
            item = next(self._frames, None)
        except Exception as error:  # a codec raises what it likes
            return self._go_past(error)
        if item is None:
            return None
        time_s, frame = item
        self._now_s = time_s
        lasts_s = float((frame.duration or 0) * frame.time_base) if frame.time_base else 0.0
        self._end_s = max(self._end_s, time_s - self._origin_s + (lasts_s or self.step_s))
        self._count += 1
        if self._count % TELL_EVERY == 0:
            goes_on()
        return time_s - self._origin_s, frame

    def jump(self, to_s: float) -> bool:
        """Go on from a key frame from which the frame at a time can be decoded, if that spares more than it costs."""
        wanted_s = to_s + self._origin_s
        if not self._may_jump or not self._is_worth(wanted_s):
            return False
        try:
            frames = frames_from(self._container, self._stream, wanted_s, self._read)
        except Exception as error:
            self._now_s = -math.inf
            self._into = self._go_past(error)
            return True
        if frames is None:  # no key frame is sound: all that is left is to play from the start
            self._load()
            self._may_jump = False
        else:
            self._frames, self._now_s = frames, -math.inf
        return True

    def why_short(self) -> str:
        """Say, behind the last frame, why the file ends before it should; nothing where it is whole."""
        try:
            is_whole = check_bytes(self._path, self._container, self._stream)
            check_played(self._path, self._container, self._stream, self._player, is_whole)
        except RecordError as error:
            return str(error)
        return ""

    def _load(self) -> None:
        """Open the file at its start."""
        self._open.close()
        self._container, self._stream = self._open.enter_context(open_video(self._path))
        self._origin_s = origin_s(self._container, self._stream)
        self._player = Player(self._container, self._stream)
        self._is_one_by_one = self._container.format.name == "avi"  # frames have the times of packets, in turn
        self._frames = timed_frames(self._read(self._player.unread), one_by_one=self._is_one_by_one)
        self._now_s = -math.inf

    def _is_pieced(self) -> bool:
        """Tell whether an edit list puts several stretches of the file together: an index knows nothing of those."""
        pieces = [edit for edit in track_header(self._path, self._stream.id).edits if edit.from_s is not None]
        return len(pieces) > 1

    def _read(self, packets: Iterator[Any]) -> Packets:
        """Go on with other packets."""
        player, container, stream = self._player, self._container, self._stream
        self._packets = Packets(
            player.watched(packets), lambda: player.watched(container.demux(stream)), stream.codec_context
        )
        self._packets.wanted = self._wanted
        return self._packets

    def _is_worth(self, wanted_s: float) -> bool:
        """Tell whether a seek spares enough decoding."""
        now_s, least_s = max(self._now_s, self._origin_s), JUMP_FRAMES * self.step_s
        if wanted_s - now_s <= least_s:
            return False
        index = self._stream.index_entries
        at = index.search_timestamp(math.floor(wanted_s / self._stream.time_base)) if len(index) else -1
        if at < 0:
            return wanted_s - now_s > BLIND_JUMP_S
        return float(index[at].timestamp * self._stream.time_base) - now_s > least_s

    def _go_past(self, error: Exception) -> Damage:
        """Take up decoding again at the next key frame from which it can be."""
        from_s = self._now_s + self.step_s - self._origin_s
        while True:
            self._stream.codec_context.flush_buffers()
            try:
                key = next((packet for packet in self._packets if packet.is_keyframe and packet.pts is not None), None)
                frames = None if key is None else frames_at(key, self._packets)
            except Exception:  # damage behind damage
                continue
            if key is None:
                self._frames = iter(())
                return Damage(from_s, math.inf, _reason(error))
            if frames is not None:
                self._frames = frames
                return Damage(from_s, float(key.pts * key.time_base) - self._origin_s, _reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return too_much()
    if isinstance(error, RecordError):
        return str(error)
    return f"cannot be decoded ({getattr(error, 'strerror', None) or type(error).__name__})"
