"""One time range while its video plays: which pictures it takes, when it is over, and what became of it."""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.formats.video.film import Damage
from dataengine.formats.video.picture import MAX_BYTES, MAX_FRAMES, camera_frames
from dataengine.formats.video.stream import SAME_S
from dataengine.formats.video.video import HOLD_S, Clip
from dataengine.framing import Fit

LEAST_FRAMES = 2
"""Less is no motion."""


MAX_INSTANTS = 2**22
"""Of all ranges of a video: eleven hours at 100 in a second."""


def instants_s(start_s: float, end_s: float, rate_hz: float) -> NDArray[np.float64]:
    """Say when pictures of [start, end) are wanted: (t,) seconds, start + k / rate."""
    return start_s + np.arange(num_instants(start_s, end_s, rate_hz)) / (rate_hz or math.inf)


def num_instants(start_s: float, end_s: float, rate_hz: float) -> int:
    """Return how many those are; an instant that only rounding puts before the end is none."""
    return max(math.ceil((end_s - start_s) * rate_hz - SAME_S), 0)


class Picture(Protocol):
    """A frame at its time, that is scaled and encoded when somebody takes it."""

    time_s: float

    @property
    def taken(self) -> tuple[tuple[int, int], bytes]:
        """Native (height, width) as shown, JPEG."""


class ClipRange:
    """Takes its pictures out of frames that go by in order."""

    def __init__(self, index: int, start_s: float, end_s: float) -> None:
        self.index = index
        self.asked = f"{start_s:.2f} to {end_s:.2f} s"
        self.start_s, self.end_s = start_s, end_s
        self.error = ""
        self.is_over = False
        self._rate_hz: float | None = None
        self._step_s = self._slack_s = 0.0
        self._times: list[float] = []
        self._pictures: list[tuple[tuple[int, int], bytes]] = []
        self._num_bytes = 0
        self._clamped: list[str] = []

    def begin(self, rate_hz: float | None, step_s: float, tick_s: float) -> None:
        """Say at which rate pictures are wanted, and how far apart frames and times of the file are."""
        self._rate_hz, self._step_s, self._slack_s = rate_hz, step_s, max(tick_s / 2, SAME_S)
        if not (math.isfinite(self.start_s) and math.isfinite(self.end_s)):
            self._fail("is no stretch of time; expected seconds")
        elif self.end_s <= self.start_s:
            self._fail("ends before it begins; expected start < end")
        elif self.end_s <= 0:
            self._fail("lies before the video")
        elif self.start_s < 0:
            self._clamped.append(f"begins {-self.start_s:.2f} s before the video")
            self.start_s = 0.0
        if rate_hz and not self.error and self.num_instants() > MAX_FRAMES:
            self._fail(f"has more than {MAX_FRAMES} frames; cut it into clips")

    def instants(self, first_s: float) -> NDArray[np.float64]:
        """Return when pictures are wanted of a video whose first one comes at `first_s`, seconds."""
        later_s = first_s - self.start_s if self._is_before(first_s) else 0.0
        return instants_s(self.start_s, self.end_s, self._rate_hz or 0.0) + later_s

    def see(self, before: Picture | None, now: Picture) -> None:
        """Take what is due up to a frame; `before` is the one before it, None at a start."""
        if before is None and not self._times and self._is_before(now.time_s):
            self._clamped.append(f"begins {now.time_s - self.start_s:.2f} s before the first picture")
            self.start_s = now.time_s
            if self.end_s - self.start_s <= self._slack_s:
                self._fail(f"ends before the first picture, which is shown at {now.time_s:.2f} s")
        if self._rate_hz is None:
            self._see_all(now)
        elif before is not None:
            self._see_instants(before, now.time_s, self._rate_hz)

    def stumble(self, before: Picture | None, damage: Damage) -> None:
        """Take what is due before a damaged stretch, and end with it unless that was all."""
        self._take_rest(before, damage.from_s)
        if not self.is_over:
            until = f"{damage.until_s:.2f} s" if math.isfinite(damage.until_s) else "the end"
            self._fail(f"is damaged from {max(damage.from_s, 0.0):.2f} s to {until}: {damage.reason}")

    def finish(self, before: Picture | None, file_end_s: float, short: str) -> None:
        """Take what is due behind the last frame; `short` says why the file ends too early, if it does."""
        if short:
            self._take_rest(before, before.time_s + self._step_s if before else 0.0)
            if not self.is_over:
                self._fail(short)
            return
        if before is not None and self._rate_hz is not None:
            held_s = min(file_end_s, before.time_s + max(HOLD_S, 2 / self._rate_hz))
            while not self.is_over and self._instant_s() < held_s - SAME_S:
                self._take(before)
        if not self._times and not self.is_over:
            ends = (
                f"past the end of the video, which lasts {file_end_s:.2f} s" if before else "in a video without frames"
            )
            self._fail(f"lies {ends}")
        elif not self.is_over and self.end_s > file_end_s + self._step_s:
            self._clamped.append(f"ends {self.end_s - file_end_s:.2f} s past the video's end")
        self.is_over = True

    def clip(self, frame_size: int, how: Fit = "squash") -> Clip:
        """Hand over what was taken; raise RecordError when it is no clip."""
        if not self.error and len(self._times) < LEAST_FRAMES:
            at = f" at {self._rate_hz:g} in a second" if self._rate_hz else ""
            self._fail(f"has {len(self._times)} frames{at}, needs {LEAST_FRAMES}; make it longer")
        if self.error:
            raise RecordError(self.error)
        time_s = np.array(self._times)
        spans_s = float(time_s[-1] - time_s[0])
        rate_hz = self._rate_hz or ((len(time_s) - 1) / spans_s if spans_s else 1 / self._step_s)
        pictures, self._pictures, self._times = self._pictures, [], []
        frames = camera_frames(pictures, frame_size, how)
        begins_s = self.start_s if self._rate_hz else None
        clamped = "; ".join(self._clamped)
        return Clip(frames, float(rate_hz), time_s - time_s[0], float(time_s[0]), begins_s, clamped)

    def _is_before(self, first_s: float) -> bool:
        """Tell whether the range begins more than a frame before the first one."""
        return first_s > self.start_s + self._step_s + self._slack_s

    def _see_all(self, now: Picture) -> None:
        if now.time_s >= self.end_s - self._slack_s:
            self.is_over = True
        elif now.time_s >= self.start_s - self._slack_s:
            self._take(now)

    def _see_instants(self, before: Picture, now_s: float, rate_hz: float) -> None:
        if now_s - before.time_s <= max(HOLD_S, 2 / rate_hz):
            self._take_rest(before, now_s)
            return
        self._take_rest(before, before.time_s + self._step_s)
        if not self.is_over and self._instant_s() < now_s - SAME_S:
            self._fail(f"shows nothing between {before.time_s:.2f} s and {now_s:.2f} s; cut it into two there")

    def _take_rest(self, before: Picture | None, until_s: float) -> None:
        """Take a frame for the instants nearer to it than to the next one, which comes at `until_s`."""
        if self._rate_hz is None:
            self.is_over |= until_s >= self.end_s - self._slack_s
        elif before is not None:
            while not self.is_over and self._instant_s() <= (before.time_s + until_s) / 2:
                self._take(before)

    def _instant_s(self) -> float:
        return self.start_s + len(self._times) / (self._rate_hz or math.inf)

    def num_instants(self) -> int:
        """Return how many pictures are wanted."""
        return num_instants(self.start_s, self.end_s, self._rate_hz or 0.0)

    def _take(self, picture: Picture) -> None:
        self._times.append(picture.time_s)
        self._pictures.append(picture.taken)
        self._num_bytes += len(picture.taken[1])
        if self._num_bytes > MAX_BYTES or len(self._times) > MAX_FRAMES:
            self._fail(f"has more than {len(self._times)} frames, {self._num_bytes / 1e9:.2f} GB; cut it into clips")
        elif self._rate_hz is not None and len(self._times) >= self.num_instants():
            self.is_over = True

    def _fail(self, reason: str) -> None:
        self.error, self.is_over = self.error or reason, True
        self._times, self._pictures = [], []


def instants_near(clips: Sequence[ClipRange], first_s: float) -> Callable[[float, float, float], bool]:
    """Make a test whether a frame may be the nearest one to what some range wants, by its neighbours' times.

    A range that begins before the first frame, at `first_s`, begins with it.
    """
    if sum(clip.num_instants() for clip in clips) > MAX_INSTANTS:
        return lambda *_: True
    due_s = np.sort(np.concatenate([clip.instants(first_s) for clip in clips])) if clips else np.zeros(0)

    def is_near(before_s: float, time_s: float, after_s: float) -> bool:
        from_s, to_s = (before_s + time_s) / 2 - SAME_S, (time_s + after_s) / 2 + SAME_S
        at = due_s.searchsorted(from_s)
        return bool(at < len(due_s) and due_s[at] <= to_s)

    return is_near
