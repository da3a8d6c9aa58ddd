"""Packets of one stream on their way to the decoder, which is told to leave out pictures that nobody wants.

A picture of H.264 that no other refers to (most B-frames) can be left out and changes none of the others. Of 60 in a
second, of which a clip takes 10, that is half of what an encoder's defaults write.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

AHEAD = 32
"""Packets read before one is decoded: pictures shown next to it are among them, for H.264 holds back 16 at most."""
SKIPPING = ("h264",)
"""Codecs that mark pictures which no other refers to. HEVC marks those that none of its own layer does."""

Wanted = Callable[[float, float, float], bool]
"""Whether a frame is wanted: by its time and those of the frames before and after it, in seconds of the stream."""


class Packets:
    """Gives packets in order; after an error of the demuxer it goes on behind it, unless that is the end."""

    def __init__(self, read: Iterator[Any], read_on: Callable[[], Iterator[Any]], context: Any) -> None:
        self.wanted: Wanted | None = None
        self._source, self._read_on, self._context = read, read_on, context
        self._queue: deque[Any] = deque()
        self._passed: deque[float] = deque(maxlen=AHEAD)
        self._times: list[float] = []
        self._error: Exception | None = None
        self._may_skip = context.name in SKIPPING

    def __iter__(self) -> "Packets":
        return self

    def __next__(self) -> Any:
        while len(self._queue) < AHEAD and self._error is None:
            packet = self._next_read()
            if packet is None:
                break
            self._queue.append(packet)
            if packet.pts is not None:
                insort(self._times, _time_s(packet))
        if not self._queue:
            if self._error is None:
                raise StopIteration
            error, self._error = self._error, None
            raise error
        packet = self._queue.popleft()
        if self._may_skip:
            self._context.skip_frame = "DEFAULT" if self._is_wanted(packet) else "NONREF"
        return packet

    def _next_read(self) -> Any:
        try:
            return next(self._source, None)
        except Exception as error:  # a demuxer raises what it likes
            self._error = error
            after = self._read_on()
            try:
                first = next(after, None)
            except Exception:  # it got no further
                first = None
            self._source = iter(()) if first is None else chain([first], after)
            return None

    def _is_wanted(self, packet: Any) -> bool:
        if packet.pts is None:
            return True
        time_s = _time_s(packet)
        if len(self._passed) == AHEAD:
            del self._times[bisect_left(self._times, self._passed[0])]
        self._passed.append(time_s)
        if self.wanted is None:
            return True
        at = bisect_left(self._times, time_s)
        if at == 0 or at + 1 >= len(self._times):
            return True
        return self.wanted(self._times[at - 1], time_s, self._times[at + 1])


def _time_s(packet: Any) -> float:
    return float(packet.pts * packet.time_base)
