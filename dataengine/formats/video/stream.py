"""Video streams: opened within bounds, played from their start or from any time, and told when they were cut short.

A file says how long it is in its own way, and a header's duration is none: the last picture may last, a stream may
begin late, sound may outlast it. So bytes are compared where the container tells of them (the sample table of mp4, the
segment of Matroska, RIFF, the end mark of a GIF), and times only elsewhere.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from dataengine.errors import RecordError
from dataengine.formats import lfs
from dataengine.formats.byte_range import ByteRange, Location, name_of, size_of
from dataengine.formats.jpeg import MAX_PIXELS
from dataengine.formats.video.containers import EXPECTED, READ_OPTIONS
from dataengine.formats.video.mp4_boxes import check_samples

TOLERANCE_S = 0.25
"""A stream may end this much before its stated duration; more is a truncated file."""
PEEKED = 64
"""Packets whose times tell how often frames come: a mean is wrong where the last picture lasts."""
SAME_S = 1e-6
LEAST_READ = 0.85
"""Of a file's bytes: an index and tags come behind the last frame."""
NEARLY_SQUARE = 0.01
"""Whoever scales to even sides writes what that lost into the aspect of pixels: 1280:1281. Those count as square."""
MOST_ASPECT = 4.0
"""Anamorphic video has 2 at most."""
MOST_STEPS_BACK = 8
"""Key frames that a seek goes back before it plays from the start."""


@contextmanager
def named(name: str) -> Iterator[None]:
    """Make whatever a demuxer or decoder raises a RecordError of one line that begins with the file's name."""
    try:
        yield
    except RecordError as error:
        if str(error).startswith(f"{name}: "):
            raise
        raise type(error)(f"{name}: {error}") from error
    except Exception as error:  # a codec raises what it likes: IndexError, MemoryError, UnicodeDecodeError
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise RecordError(f"{name}: cannot be decoded ({reason})") from error


@contextmanager
def open_video(path: Location) -> Iterator[tuple[Any, Any]]:
    """Open a file with its first video stream, decoded by one thread."""
    name, num_bytes = name_of(path), size_of(path)
    if num_bytes is None:
        raise RecordError(f"{name}: the video is missing")
    if not num_bytes:
        raise RecordError(f"{name}: the video has 0 bytes")
    with ExitStack() as opened:
        with named(name):
            check_samples(path)
        try:
            file = opened.enter_context(path.open()) if isinstance(path, ByteRange) else str(path)
            container = opened.enter_context(av.open(file, metadata_errors="replace", container_options=READ_OPTIONS))
        except Exception as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            reason = f"not a readable video ({reason}, {num_bytes} bytes)"
            if isinstance(error, av.error.ArgumentError):  # what FFmpeg says to a demuxer that is not in the list
                reason = f"no video container that is read ({num_bytes} bytes), {EXPECTED}"
            reason = lfs.why_file(path, reason)
            raise RecordError(f"{name}: {reason}") from error
        moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]  # a cover is none
        if not moving:
            raise RecordError(f"{name}: has no video stream")
        stream = moving[0]
        context = stream.codec_context
        if context is None:
            raise RecordError(f"{name}: has a codec that is not known here; convert it to H.264, AV1 or VP9")
        if context.width * context.height > MAX_PIXELS:
            raise RecordError(f"{name}: claims to be {context.width}x{context.height}, more than any camera")
        context.thread_count = 1
        context.options = {"max_pixels": str(MAX_PIXELS)}  # for a stream that grows on its way
        yield container, stream


class Player:
    """Plays an open file once, from its start, and remembers what its packets said."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._stream = stream
        packets = container.demux(stream)
        self.peeked = list(islice(packets, PEEKED))
        """The first packets."""
        self.unread = chain(self.peeked, packets)
        """Those that nobody has taken yet."""
        self.end_s = -math.inf
        """Where the packets seen so far end, in seconds of the stream."""
        self.end_byte = 0
        """And in the file."""
        rate = stream.average_rate or stream.guessed_rate
        self.rate_hz = max(float(rate or 0.0), self._usual_rate_hz())
        """Frames in a second where they come regularly; 0 where nothing tells."""

    def frames(self) -> Iterator[tuple[float, Any]]:
        """Decode in order of presentation."""
        return timed_frames(self.watched(self.unread), one_by_one=self._stream.container.format.name == "avi")

    def watched(self, packets: Iterable[Any]) -> Iterator[Any]:
        """Pass packets on and remember what they say."""
        for packet in packets:
            if packet.pts is not None:
                lasts_s = float((packet.duration or 0) * packet.time_base) or 1 / (self.rate_hz or math.inf)
                self.end_s = max(self.end_s, float(packet.pts * packet.time_base) + lasts_s)
                self.end_byte = max(self.end_byte, (packet.pos or 0) + packet.size)
            yield packet

    def _usual_rate_hz(self) -> float:
        times = sorted({packet.pts for packet in self.peeked if packet.pts is not None})
        if len(times) < 2:
            return 0.0
        return 1 / float(np.median(np.diff(times)) * self._stream.time_base)


def timed_frames(
    packets: Iterable[Any], *, sought: bool = False, one_by_one: bool = False
) -> Iterator[tuple[float, Any]]:
    """Decode packets in order of presentation; a frame that does not come after the last one is left out.

    Two of one time are two where two packets have that time, for rows go by the number of their frame; a decoder that
    makes two of one packet stumbled over damage.

    What is shown before the key frame with which decoding began may refer to frames that are not there: where the
    stream was `sought` none of it counts, else what the decoder calls damaged. A damaged frame behind it is an error.
    AVI knows the order of decoding only: its frames are shown `one_by_one`, at the times of its packets.
    """
    begins_s: float | None = None
    last_s, count = -math.inf, 0
    slots: deque[float] = deque()
    left: Counter[int | None] = Counter()
    for packet in packets:
        if packet.pts is not None:
            left[packet.pts] += 1
        if one_by_one and packet.dts is not None:
            slots.append(float(packet.dts * packet.time_base))
        if begins_s is None and packet.pts is not None:
            begins_s = float(packet.pts * packet.time_base)
        for frame in _decoded(packet):
            time_s = slots.popleft() if slots else _time_of(frame)
            if time_s is None:
                raise RecordError(f"frame {count} has no timestamp")
            leads = begins_s is not None and time_s < begins_s
            if (leads and sought) or (frame.is_corrupt and (leads or (sought and not count))):
                continue
            if frame.is_corrupt:
                raise RecordError(f"frame {count} is damaged")
            count += 1
            if time_s > last_s or (time_s == last_s and left[frame.pts] > 0):
                left[frame.pts] -= 1
                if len(left) > PEEKED and frame.pts is not None:  # a long video has millions of packets
                    left = Counter({pts: n for pts, n in left.items() if n and pts is not None and pts >= frame.pts})
                last_s = time_s
                yield time_s, frame


def _decoded(packet: Any) -> Iterator[Any]:
    """Decode a packet; at damage give what the decoder still held back that is shown before it, then raise."""
    try:
        frames = packet.decode()
    except av.error.FFmpegError:
        held_back = packet.stream.codec_context.decode(None) if packet.pts is not None else []
        yield from (frame for frame in held_back if frame.pts is not None and frame.pts < packet.pts)
        raise
    yield from frames


def _time_of(frame: Any) -> float | None:
    """Return when a frame is shown, or else when it is decoded."""
    if frame.time is not None:
        return float(frame.time)
    return None if frame.dts is None else float(frame.dts * frame.time_base)


def frames_from(
    container: Any, stream: Any, time_s: float, watched: Callable[[Iterator[Any]], Iterator[Any]] = iter
) -> Iterator[tuple[float, Any]] | None:
    """Play from a key frame from which the frame at a time can be decoded; None when the file must be played from 0.

    Times of key frames in an index are those of decoding, and frames that are shown before a key frame but lie behind
    it (open groups of pictures) need the group before: when the first frame out comes later than wanted, the next try
    begins a key frame earlier. Where a key frame is not shown itself, the stream refreshes bit by bit, and what comes
    first is patched together: only its start is sound. All packets pass through `watched`.
    """
    target = math.floor(time_s / stream.time_base)
    for _ in range(MOST_STEPS_BACK):
        try:
            container.seek(target, stream=stream)
        except av.error.FFmpegError:
            return None
        packets = watched(container.demux(stream))
        first = next(packets, None)
        if first is None or first.pts is None:
            return None
        frames = frames_at(first, packets)
        if frames is None:
            return None
        key_s = float(first.pts * stream.time_base)
        if key_s <= time_s:
            return frames
        target = min(target, first.pts if first.dts is None else first.dts) - 1
        if target < (stream.start_time or 0):
            return None
    return None


def frames_at(key: Any, packets: Iterator[Any]) -> Iterator[tuple[float, Any]] | None:
    """Decode from the packet of a key frame on, with those behind it; None when it is not shown itself."""
    frames = timed_frames(chain([key], packets), sought=True)
    first = next(frames, None)
    if first is None or abs(first[0] - float(key.pts * key.time_base)) > SAME_S:
        return None
    return chain([first], frames)


def origin_s(container: Any, stream: Any) -> float:
    """Tell where in a stream's own time players begin to count: at the container's start.

    That is when the first of its streams starts, in microseconds; where it is this one, its own ticks are exact.
    """
    own_s = None if stream.start_time is None else float(stream.start_time * stream.time_base)
    if container.start_time is None:
        return own_s or 0.0
    start_s = container.start_time / av.time_base
    return own_s if own_s is not None and abs(own_s - start_s) < 1 / av.time_base else start_s


def pixel_aspect(stream: Any) -> float:
    """Return the width of a stored pixel over its height; raise RecordError for what no camera has."""
    aspect = float(stream.sample_aspect_ratio or 1)
    if not 1 / MOST_ASPECT <= aspect <= MOST_ASPECT:
        raise RecordError(
            f"claims that pixels are {aspect:.3g} times as wide as high, up to {MOST_ASPECT:g} is read; damaged?"
        )
    return 1.0 if abs(aspect - 1) < NEARLY_SQUARE else aspect


def check_bytes(path: Location, container: Any, stream: Any) -> bool:
    """Raise RecordError when a file has fewer bytes than its container tells of; return whether it tells."""
    kind, there = container.format.name, size_of(path) or 0
    wanted = 0
    if "mp4" in kind:
        wanted = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    elif kind.startswith("matroska"):
        wanted = _segment_end(_ends(path)[0])
    elif kind == "avi":
        wanted = int.from_bytes(_ends(path)[0][4:8], "little")
    elif kind == "gif":
        wanted = there if _ends(path)[1].rstrip(b"\0").endswith(b";") else there + 1
    if wanted > there:
        raise RecordError(f"has {there} bytes, what it holds needs {wanted}; truncated?")
    return wanted > 0


def check_played(path: Location, container: Any, stream: Any, player: Player, is_whole: bool) -> None:
    """Raise RecordError when what was played ends long before what the file states, its duration and its bytes.

    Where bytes tell that the file is whole, a last picture may last; but damage within makes a demuxer stop early.
    """
    if is_whole and ("mp4" in container.format.name or player.end_byte > LEAST_READ * (size_of(path) or 0)):
        return
    stated_s, frame_s = duration_s(container, stream), 1 / (player.rate_hz or math.inf)
    start_s = float((stream.start_time or 0) * stream.time_base)
    ends_s = player.end_s - min(start_s, 0.0)  # some count from 0, some from the first frame: both may be right
    if ends_s < stated_s - max(TOLERANCE_S, 2 * frame_s):
        raise RecordError(f"ends at {ends_s:.2f} s of {stated_s:.2f} s; truncated?")


def duration_s(container: Any, stream: Any) -> float:
    """Return what the header says, 0 where it says nothing; it is no span of frames."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:  # sound may outlast the picture
        return float(container.duration / av.time_base)
    return 0.0


def _ends(path: Location) -> tuple[bytes, bytes]:
    """Read the first and the last bytes of a file."""
    with path.open() if isinstance(path, ByteRange) else Path(path).open("rb") as file:
        first = file.read(256)
        file.seek(max((size_of(path) or 0) - 64, 0))
        return first, file.read(64)


def _segment_end(start: bytes) -> int:
    """Tell where the segment of a Matroska file ends by its header; 0 where it does not say."""
    at = 0
    for element in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        if start[at : at + 4] != element or at + 5 > len(start):
            return 0
        width = 9 - start[at + 4].bit_length()
        size = int.from_bytes(start[at + 4 : at + 4 + width], "big") & ((1 << 7 * width) - 1)
        at += 4 + width
        unknown = size == (1 << 7 * width) - 1
        if width > 8 or unknown:
            return 0
        at += size
    return at
