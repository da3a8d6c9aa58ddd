"""Many time ranges of one video, cut in one pass: each picture is decoded, scaled and encoded once.

Times are seconds after the container's start, as players show them. With a rate, a clip of [start, end) has for each
instant start + k / rate the frame nearest to it; without one it has the frames that are shown first within it.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from dataengine.errors import RecordError
from dataengine.formats.byte_range import Location, name_of
from dataengine.formats.video.clip_range import ClipRange, instants_near
from dataengine.formats.video.film import Damage, FrameDecoder
from dataengine.formats.video.picture import Region, Shrinker
from dataengine.formats.video.stream import named
from dataengine.formats.video.video import Clip
from dataengine.framing import Fit, Framing


def cut(
    path: Location,
    ranges: Sequence[tuple[float, float]],
    frame_size: int,
    rate_hz: float | None,
    *,
    region: tuple[float, float, float, float] | None = None,
    how: Fit = "squash",
) -> Iterator[tuple[int, Clip | RecordError]]:
    """Yield the index and the clip of each range (start, end), or why there is none.

    They come as soon as their last frame is past, so in order of their ends; what is wrong with a range by itself comes
    first. In memory are the JPEGs of the ranges that are open. What lies before 0 or past the end is left out, and
    `Clip.clamped` says so; damage costs the ranges that touch it. `region` is the part of the picture as shown that is
    kept, in fractions: left, top, right, bottom.

    Raise RecordError when the file cannot be opened or its pictures are none.
    """
    name = name_of(path)
    wanted = [ClipRange(i, *bounds) for i, bounds in enumerate(ranges)]
    framing = Framing(frame_size, how)
    with named(name), FrameDecoder(path) as film:
        shrinker = Shrinker(frame_size, Region(*region) if region else None, how, aspect=film.aspect)
        slower_hz = min(rate_hz, film.rate_hz or math.inf) if rate_hz else None
        for clip in wanted:
            clip.begin(slower_hz, film.step_s, film.tick_s)
        yield from _ended(wanted, name, framing)
        if slower_hz:
            film.want(instants_near([clip for clip in wanted if not clip.is_over], film.first_s))
        waiting = sorted((clip for clip in wanted if not clip.is_over), key=lambda clip: clip.start_s)
        for ended in _play(film, deque(waiting), shrinker):
            yield from _ended(ended, name, framing)


class Picture:
    """A decoded frame; scaled and encoded once, when a range first takes it."""

    def __init__(self, time_s: float, frame: Any, shrinker: Shrinker) -> None:
        self.time_s = time_s
        self._frame, self._shrinker = frame, shrinker

    @cached_property
    def taken(self) -> tuple[tuple[int, int], bytes]:
        """Native size as shown, JPEG."""
        return self._shrinker.take(self._frame)


def _play(film: FrameDecoder, waiting: deque[ClipRange], shrinker: Shrinker) -> Iterator[list[ClipRange]]:
    """Play on until every range has ended; yield those that did."""
    before: Picture | None = None
    next_one: ClipRange | None = None
    running: list[ClipRange] = []
    while waiting or running:
        if not running and waiting[0] is not next_one:
            next_one = waiting[0]
            before = None if film.jump(next_one.start_s) else before
        event = film.next()
        if event is None:
            break
        if isinstance(event, Damage):
            short = "" if math.isfinite(event.until_s) else film.why_short()
            event = replace(event, reason=short) if short else event
            running += _due(waiting, event.until_s)
            for clip in running:
                clip.stumble(before, event)
            before = None
        else:
            now = Picture(*event, shrinker)
            running += _due(waiting, now.time_s + film.tick_s)
            for clip in running:
                clip.see(before, now)
            before = now
        yield [clip for clip in running if clip.is_over]
        running = [clip for clip in running if not clip.is_over]
    short = film.why_short()
    running += waiting
    for clip in running:
        clip.finish(before, film.end_s, short)
    yield running


def _due(waiting: deque[ClipRange], until_s: float) -> Iterator[ClipRange]:
    while waiting and waiting[0].start_s < until_s:
        yield waiting.popleft()


def _ended(clips: Iterable[ClipRange], name: str, framing: Framing) -> Iterator[tuple[int, Clip | RecordError]]:
    for clip in sorted((clip for clip in clips if clip.is_over), key=lambda clip: (clip.end_s, clip.index)):
        try:
            yield clip.index, clip.clip(framing.side, framing.fit)
        except RecordError as error:
            yield clip.index, RecordError(f"{name}: {clip.asked} {error}")
