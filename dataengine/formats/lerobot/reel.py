"""Frames of LeRobot episodes: several lie one after another in an mp4, which is decoded once, forwards.

Recorders write a frame for each row, at k / fps, and in the rows often the time of a wall clock: row k shows frame k of
its episode's own span wherever there are as many frames as rows, one less (the last row is lost) or one more. Only
where there are more do times decide, and never beyond the span. Starts that a recorder summed up from durations drift:
where the file holds as many frames as its episodes have rows, frames are counted from its start.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataengine.episode import CameraFrames
from dataengine.errors import RecordError
from dataengine.formats.lerobot.entries import VideoSpan
from dataengine.formats.video import stream as streams
from dataengine.formats.video.picture import camera_frames, shrink
from dataengine.framing import Fit

WITHIN = 0.49
"""Of a frame's duration: farther away a frame is another one."""
JUMP_S = 4.0
"""Frames between here and there are decoded rather than sought when they last no longer than this."""


@dataclass(frozen=True)
class EpisodeFrames:
    """What an episode's rows show in one camera."""

    frames: CameraFrames
    """For each row; one less than there are rows where the file lacks one."""
    off_s: float
    """By how much the frame is off whose time differs most from its row's."""
    is_short: bool
    """Whether a shared file holds fewer frames than its episodes have rows."""


class Reel:
    """Plays the files of one camera forwards; what is held in memory is one decoder and one episode's JPEGs."""

    def __init__(self, frame_size: int, rate_hz: float, how: Fit = "squash") -> None:
        self.frame_size, self.how, self.rate_hz = frame_size, how, rate_hz
        self._open = ExitStack()
        self._path: Path | None = None
        self._frames: Iterator[tuple[float, Any]] = iter(())
        self._ahead: tuple[float, Any] | None = None
        self._last_s = -inf
        self._container: Any = None
        self._stream: Any = None
        self._even_s: tuple[Path, float] | None = None

    def take(self, path: Path, span: VideoSpan, time_s: NDArray[np.float64]) -> EpisodeFrames:
        """Take a frame for each of (t,) rows, whose times ascend from the episode's start.

        Raise RecordError when the episode's own span does not hold them.
        """
        try:
            with streams.named(path.name):
                return self._take(path, span, time_s)
        except RecordError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._open.close()
        self._path, self._frames, self._ahead, self._last_s = None, iter(()), None, -inf
        self._container = self._stream = None

    def _take(self, path: Path, span: VideoSpan, time_s: NDArray[np.float64]) -> EpisodeFrames:
        if path != self._path:
            self._load(path)
        start_s, stop_s = self._bounds(path, span, len(time_s))
        self._go_to(path, start_s)
        due_s = (start_s if start_s > -inf else 0.0) + time_s
        times: list[float] = []
        kept: list[int] = []

        def wanted() -> Iterator[tuple[float, Any]]:
            for at_s, frame in self._own(start_s, stop_s, len(time_s)):
                times.append(at_s)
                if len(times) <= len(due_s) or np.abs(due_s - at_s).min() <= WITHIN / self.rate_hz:
                    kept.append(len(times) - 1)
                    yield at_s, frame

        taken = list(shrink(wanted(), self.frame_size, self.how))
        chosen = self._chosen(np.array(times), np.array(kept, np.int64), due_s)
        begins_s = time_s[0] if time_s[0] > 1 / self.rate_hz else 0.0  # some count from the epoch
        stated_s = span.start_s + time_s[: len(chosen)] - begins_s
        off_s = float(np.abs(np.array(times)[np.array(kept)[chosen]] - stated_s).max())
        is_short = span.counted is not None and 0 < self._stream.frames < span.counted[1]
        return EpisodeFrames(camera_frames((taken[i][1:] for i in chosen), self.frame_size, self.how), off_s, is_short)

    def _chosen(
        self, times: NDArray[np.float64], kept: NDArray[np.int64], due_s: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Tell which of the frames that were kept the rows show; raise RecordError when there are too few."""
        num_frames, num_rows = len(times), len(due_s)
        if not num_frames or num_frames < num_rows - 1:
            ends = f", the last at {times[-1]:.3f} s" if num_frames else ""
            raise RecordError(f"shows {num_frames} frames{ends}, the episode has {num_rows} rows")
        if num_frames <= num_rows + 1:
            return np.arange(min(num_frames, num_rows))
        behind = np.searchsorted(times[kept], due_s).clip(1, len(kept) - 1)
        earlier = due_s - times[kept][behind - 1] <= times[kept][behind] - due_s
        nearest = np.where(earlier, behind - 1, behind)
        off_s = np.abs(times[kept][nearest] - due_s)
        bad = np.flatnonzero((off_s > WITHIN / self.rate_hz) | (np.diff(nearest, prepend=-1) <= 0))
        if len(bad):
            at = int(bad[0])
            raise RecordError(
                f"shows {num_frames} frames, the episode has {num_rows} rows, and none of its own is due at "
                f"{due_s[at]:.3f} s, where row {at} is"
            )
        return nearest

    def _own(self, start_s: float, stop_s: float, num_rows: int) -> Iterator[tuple[float, Any]]:
        """Yield the frames of a span; what comes behind it waits for the next episode."""
        count, step_s = 0, 1 / self.rate_hz
        while True:
            if self._ahead is None:
                self._ahead = next(self._frames, None)
            if self._ahead is None or self._ahead[0] >= stop_s - step_s / 2:
                return
            (at_s, frame), self._ahead = self._ahead, None
            self._last_s = at_s
            if at_s < start_s - step_s / 2:
                continue
            count += 1
            yield at_s, frame
            if count >= num_rows and at_s + step_s >= stop_s - step_s / 2:  # damage behind it is not this episode's
                return

    def _load(self, path: Path) -> None:
        """Open a file at its start."""
        self.close()
        self._container, self._stream = self._open.enter_context(streams.open_video(path))
        self._path, self._frames = path, streams.timed_frames(self._container.demux(self._stream))

    def _bounds(self, path: Path, span: VideoSpan, num_rows: int) -> tuple[float, float]:
        """Tell from when to when the file shows the episode."""
        if span.is_alone:
            return -inf, inf
        if span.counted is not None and span.counted[1] == self._stream.frames:
            step_s = self._step_s(path)
            if step_s:
                first_s = float((self._stream.start_time or 0) * self._stream.time_base) + span.counted[0] * step_s
                return first_s, first_s + num_rows * step_s
        return span.start_s, span.stop_s

    def _step_s(self, path: Path) -> float:
        """Return the time between two frames of the open file where it is always the same, else 0."""
        if self._even_s is None or self._even_s[0] != path:
            steps = np.diff([entry.timestamp for entry in self._stream.index_entries])
            even = len(steps) > 0 and steps.min() == steps.max()
            self._even_s = (path, float(steps[0] * self._stream.time_base) if even else 0.0)
        return self._even_s[1]

    def _go_to(self, path: Path, start_s: float) -> None:
        """Have the first frame of a span ahead: by playing on where it is near, else from a key frame before it."""
        slack_s = WITHIN / self.rate_hz
        if self._last_s > -inf and (self._last_s >= start_s - slack_s or start_s - self._last_s >= JUMP_S):
            self._load(path)
        begins_s = float((self._stream.start_time or 0) * self._stream.time_base)
        if start_s - max(self._last_s, begins_s) < JUMP_S:
            return
        frames = streams.frames_from(self._container, self._stream, start_s + slack_s)
        if frames is None:
            self._load(path)
        else:
            self._frames = frames
