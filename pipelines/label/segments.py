"""Videos as segments of scaled frames, decoded side by side: what a model reads of files that may not fit in memory."""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.formats.resize import resize
from dataengine.framing import Framing
from dataengine.guard import too_much

SEGMENT_FRAMES = 256
"""New frames in one segment."""
SEGMENTS_AHEAD = 2
"""Segments waiting for the model, for each thread that decodes."""
LOOK_EVERY_S = 0.2


@dataclass(frozen=True, kw_only=True)
class VideoSegment:
    """A stretch of one video without gaps, with the frames before it that its first windows look back at."""

    file: int
    first: int
    """Number of its first frame in the video, counted from its start or from its last gap."""
    frames: NDArray[np.uint8]
    """(f, side, side, 3)."""
    rows: NDArray[np.int64]
    """(n,) first frames of the pairs that this segment adds."""
    time_s: NDArray[np.float64]
    """(n,) when they are shown."""


@dataclass(frozen=True)
class End:
    """A video is over, or cannot be read for a reason."""

    file: int
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Cutter:
    """How videos are cut: at `rate_hz`, pairs `stride` frames apart, seen in windows of `num_frames`."""

    rate_hz: float
    stride: int
    num_frames: int
    side: int
    """Of the model's pictures."""
    framing: Framing = field(default_factory=Framing)
    """How frames come to rest on the way there, as those of a corpus do."""

    def cut(self, file: int, path: str) -> Iterator[VideoSegment]:
        """Decode one video; raise RecordError, in one line, where it is damaged."""
        from dataengine.formats.video import video

        frames: list[NDArray[np.uint8]] = []
        times: list[float] = []
        first = row = fresh = 0
        any_rows, longest_s = False, 0.0
        for time_s, picture, begins in video.stretches(path, self.rate_hz, self.framing):
            if begins and frames:  # a gap: no pair spans it, and numbers begin anew behind it
                if first + len(frames) - self.stride > row:
                    any_rows = True
                    yield self._segment(file, first, row, frames, times)
                longest_s = max(longest_s, times[-1] - times[0])
                first = row = fresh = 0
                frames, times = [], []
            frames.append(resize(picture, self.side, self.side))
            times.append(time_s)
            fresh += 1
            if fresh == SEGMENT_FRAMES:
                any_rows |= first + len(frames) - self.stride > row
                yield self._segment(file, first, row, frames, times)
                row = max(first + len(frames) - self.stride, 0)
                behind = max(row - (self.num_frames - 2) * self.stride, 0) - first
                first, fresh = first + behind, 0
                del frames[:behind], times[:behind]
        if first + len(frames) - self.stride > row:
            yield self._segment(file, first, row, frames, times)
        elif not any_rows:
            has_s, needs_s = max(longest_s, times[-1] - times[0]), self.stride / self.rate_hz
            raise RecordError(
                f"{Path(path).name}: its frames span {has_s:.2f} s, one latent action spans {needs_s:.2f} s"
            )

    def _segment(
        self, file: int, first: int, row: int, frames: Sequence[NDArray[np.uint8]], times: Sequence[float]
    ) -> VideoSegment:
        rows = np.arange(row, max(first + len(frames) - self.stride, row))
        return VideoSegment(
            file=file, first=first, frames=np.stack(frames), rows=rows, time_s=np.array(times)[rows - first]
        )


def decode_side_by_side(files: Sequence[str], cutter: Cutter, threads: int) -> Generator[VideoSegment | End]:
    """Decode `threads` files at a time; segments of a file come in order, those of several mixed, then its end."""
    ready: queue.Queue[VideoSegment | End] = queue.Queue(SEGMENTS_AHEAD * threads)
    stopped = threading.Event()

    def put(item: VideoSegment | End) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=LOOK_EVERY_S)
                return

    def decode(file: int) -> None:
        reason = ""
        try:
            for segment in cutter.cut(file, files[file]):
                put(segment)
                if stopped.is_set():
                    return
        except RecordError as error:
            reason = str(error)
        except MemoryError:
            reason = f"{Path(files[file]).name}: {too_much()}"
        except Exception as error:  # whatever a codec thinks of: it costs one video, not the others
            reason = f"{Path(files[file]).name}: {type(error).__name__}: {error}"
        put(End(file, reason))

    pool = ThreadPoolExecutor(threads, "decode")
    try:
        for file in range(len(files)):
            pool.submit(decode, file)
        left = len(files)
        while left:
            item = ready.get()
            left -= isinstance(item, End)
            yield item
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
