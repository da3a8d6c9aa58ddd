"""Frames of LeRobot episodes: several lie one after another in an mp4, which is decoded once, forwards.

A frame belongs to a time of its episode, `start in the file + timestamp`, each camera by its own start. The nearest
frame counts, within less than half a frame: starts that a recorder summed up from durations drift.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from dataengine.episode import CameraFrames
from dataengine.errors import RecordError
from dataengine.formats import video

WITHIN = 0.49
"""Of a frame's duration: farther away a frame is another one."""
JUMP_S = 4.0
"""Frames between here and there are decoded rather than sought when they last no longer than this."""


class Reel:
    """Plays the files of one camera forwards; what is held in memory is one decoder and one episode's JPEGs."""

    def __init__(self, frame_size: int, rate_hz: float) -> None:
        self.frame_size, self.rate_hz = frame_size, rate_hz
        self._open = ExitStack()
        self._path: Path | None = None
        self._frames: Iterator[tuple[float, Any]] = iter(())
        self._ahead: tuple[float, Any] | None = None
        self._last_s = -np.inf

    def take(self, path: Path, time_s: NDArray[np.float64]) -> tuple[CameraFrames, float]:
        """Take the frames at (t,) ascending times in a file; also tell by how many seconds the worst is off.

        Raise RecordError when the file has no frame for one of them.
        """
        offs: list[float] = []
        try:
            self._go_to(path, float(time_s[0]))
            taken = list(video.shrink(self._matched(time_s, offs), self.frame_size))
        except av.error.FFmpegError as error:
            self.close()
            raise RecordError(f"{path.name}: cannot be decoded ({error.strerror})") from error
        except RecordError as error:
            self.close()
            words = str(error)
            raise RecordError(words if words.startswith(path.name) else f"{path.name}: {words}") from error
        sizes = {size for _, size, _ in taken}
        if len(sizes) > 1:
            raise RecordError(f"{path.name}: changes its size among {sorted(sizes)}")
        (height, width) = taken[0][1]
        fitted = (self.frame_size, self.frame_size) if max(height, width) > self.frame_size else (height, width)
        frames = CameraFrames(
            jpegs=[data for _, _, data in taken],
            height=fitted[0],
            width=fitted[1],
            native_height=height,
            native_width=width,
        )
        return frames, max(offs)

    def close(self) -> None:
        """Let go of the file."""
        self._open.close()
        self._path, self._frames, self._ahead, self._last_s = None, iter(()), None, -np.inf

    def _go_to(self, path: Path, start_s: float) -> None:
        """Have the frame at a time ahead: by playing on where it is near, else from the key frame before it."""
        slack_s = WITHIN / self.rate_hz
        if path == self._path and self._last_s < start_s - slack_s and start_s - self._last_s < JUMP_S:
            return
        self.close()
        container, stream = self._open.enter_context(video.open_video(path))
        if start_s > slack_s:
            container.seek(int((start_s - slack_s) / stream.time_base), stream=stream)
        self._path, self._frames = path, video.timed_frames(stream)

    def _matched(self, time_s: NDArray[np.float64], offs: list[float]) -> Iterator[tuple[float, Any]]:
        """Yield the frame nearest to each time."""
        slack_s = WITHIN / self.rate_hz
        for i, wanted_s in enumerate(time_s):
            while self._ahead is None or self._ahead[0] < wanted_s - slack_s:
                if self._ahead is not None:
                    self._last_s = self._ahead[0]
                self._ahead = next(self._frames, None)
                if self._ahead is None:
                    ends = f"the video ends at {self._last_s:.3f} s" if self._last_s > 0 else "the video shows nothing"
                    raise RecordError(f"has no frame {i} of {len(time_s)}, due at {wanted_s:.3f} s; {ends}")
            if self._ahead[0] > wanted_s + slack_s:
                found = f"the next is at {self._ahead[0]:.3f} s"
                raise RecordError(f"has no frame {i} of {len(time_s)}, due at {wanted_s:.3f} s; {found}")
            offs.append(abs(self._ahead[0] - wanted_s))
            self._last_s = self._ahead[0]
            frame, self._ahead = self._ahead, None
            yield frame
