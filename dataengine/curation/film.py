"""The pictures of an episode, for stages that look at them: read in one go, decoded small and grey, each once."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from dataengine.episode import Episode
from dataengine.spread import spread

SMALL = 64
"""Least side in pixels of a small picture; libjpeg scales while it decodes, at a fraction of the cost."""


TOGETHER = 256
"""Encoded pictures in memory where all of an episode are looked at."""


class Film:
    """Grey pictures of an episode's main camera, or of another one."""

    def __init__(
        self,
        num_frames: int,
        read: Callable[[Sequence[int]], list[bytes]],
        others: Mapping[str, "Film"] | None = None,
        content: str = "",
    ) -> None:
        self.num_frames = num_frames
        self.others = others or {}
        """The other cameras by slot."""
        self.content = content
        """Says of all pictures what they are: equal only where these are equal byte for byte; empty if not known."""
        self._read = read
        self._jpegs: dict[int, bytes] = {}
        self._small: dict[int, NDArray[np.uint8]] = {}

    @classmethod
    def of(cls, episode: Episode) -> "Film":
        """Look at an episode in memory; one without a camera has no frames."""
        main = main_camera(tuple(episode.cameras))
        films = {
            slot: cls(len(frames.jpegs), lambda which, jpegs=frames.jpegs: [jpegs[i] for i in which])
            for slot, frames in episode.cameras.items()
        }
        first = films.pop(main) if main else cls(0, lambda _: [])
        first.others = films
        return first

    def evenly(self, most: int) -> list[int]:
        """At most so many frames, evenly spaced from the first to the last."""
        return spread(self.num_frames, most).tolist()

    def cells(self, frames: Sequence[int], side: int) -> NDArray[np.float32]:
        """(n, side, side) mean brightness 0 to 255 of cells of some frames: noise goes, a small mover stays."""
        if not len(frames):
            return np.zeros((0, side, side), dtype=np.float32)
        self._fetch([i for i in frames if i not in self._small])
        for i in frames:
            if i not in self._small:
                self._small[i] = _grey(self._jpegs[i], SMALL)
        small = np.stack([self._small[i] for i in frames])
        height, width = small.shape[1:]
        if min(height, width) < side:
            raise ValueError(f"a camera picture has {width} x {height} pixels, expected at least {side} a side")
        rows, columns = (np.linspace(0, n, side + 1).round().astype(int) for n in (height, width))
        sums = np.add.reduceat(np.add.reduceat(small, rows[:-1], axis=1, dtype=np.int64), columns[:-1], axis=2)
        return (sums / np.outer(np.diff(rows), np.diff(columns))).astype(np.float32)

    def full(self, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        """(height, width) brightness of some frames at their stored size."""
        self._fetch(frames)
        return [_grey(self._jpegs[i]) for i in frames]

    def broken(self) -> list[int]:
        """List the frames that do not decode, by decoding all of them."""
        undecoded = []
        for first in range(0, self.num_frames, TOGETHER):
            some = range(first, min(first + TOGETHER, self.num_frames))
            for i, jpeg in zip(some, self._read(some), strict=True):
                try:
                    _grey(jpeg, SMALL)
                except ValueError:
                    undecoded.append(i)
        return undecoded

    def _fetch(self, frames: Sequence[int]) -> None:
        missing = [i for i in frames if i not in self._jpegs]
        if missing:
            self._jpegs |= dict(zip(missing, self._read(missing), strict=True))


def main_camera(slots: Sequence[str]) -> str:
    """Name the camera that is looked at: the primary one, or the first there is; empty without any."""
    return "primary" if "primary" in slots else next(iter(slots), "")


def _grey(jpeg: bytes, least: int = 0) -> NDArray[np.uint8]:
    return simplejpeg.decode_jpeg(jpeg, "GRAY", fastdct=True, min_height=least, min_width=least)[..., 0]
