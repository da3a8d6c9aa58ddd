"""Frames of a video as pictures: upright as a player shows them, scaled once, and only where they are pictures.

An mp4 may turn, mirror, flip and transpose what is stored (phones held sideways, front cameras, drones), and pixels may
be wider than high (camcorders, DVDs): all decoders here go through `upright`.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

from dataengine.episode import CameraFrames
from dataengine.errors import NoCameraError, RecordError
from dataengine.formats import jpeg
from dataengine.formats.resize import to_rgb
from dataengine.framing import Fit, Framing

MAX_FRAMES = 2**17
"""Frames in a clip: an hour at 36 in a second."""
MAX_BYTES = 2**31
"""Bytes of a clip's JPEGs: 80,000 of 26 KB. All of them are in memory at once."""
STRAIGHT = 0.02
"""A matrix this far from quarter turns and mirrors shows a picture at a slant."""

Taken = tuple[float, tuple[int, int], bytes]
"""Time, native (height, width) as shown, JPEG."""


@dataclass(frozen=True)
class Turn:
    """How a stored picture is shown: axes swapped or not, then mirrored along each."""

    swap: bool = False
    mirror: bool = False
    """Left and right."""
    flip: bool = False
    """Top and bottom."""

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Show a stored picture (height, width, 3)."""
        shown = image.swapaxes(0, 1) if self.swap else image
        return shown[:: -1 if self.flip else 1, :: -1 if self.mirror else 1]

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width as shown."""
        return (width, height) if self.swap else (height, width)


def turn_of(frame: Any) -> Turn:
    """Read the display matrix that came with a frame; raise RecordError when it is no matter of mirrors."""
    side_data = frame.side_data
    if not len(side_data):
        return Turn()
    try:
        return turn_by(struct.unpack("=9i", bytes(side_data[Type.DISPLAYMATRIX])[:36]))
    except KeyError:
        return Turn()


@cache
def turn_by(matrix: tuple[int, ...]) -> Turn:
    """Read x' = a x + c y, y' = b x + d y out of nine numbers a b u c d v x y w; scale does not matter."""
    a, b, _, c, d = matrix[:5]
    straight, crossed = max(abs(a), abs(d)), max(abs(b), abs(c))
    if min(straight, crossed) > STRAIGHT * max(straight, crossed):
        raise RecordError("is shown at a slant, expected quarter turns and mirrors; encode it anew, upright")
    if crossed > straight:
        return Turn(swap=True, mirror=c < 0, flip=b < 0)
    return Turn(mirror=a < 0, flip=d < 0)


def shown_size(frame: Any, aspect: float = 1.0) -> tuple[int, int]:
    """Tell height and width of a frame as a player shows it: upright, with square pixels of the stored height.

    `aspect` is the width of a stored pixel over its height.
    """
    return turn_of(frame).size(frame.height, round(frame.width * aspect))


def upright(frame: Any, framing: Framing | None = None, aspect: float = 1.0) -> NDArray[np.uint8]:
    """Turn a frame into RGB as a player shows it, at its own size or as it comes to rest.

    Raise NoCameraError when it holds distances rather than colours.
    """
    if _is_deep(frame.format.name, frame.format):
        raise NoCameraError(f"shows one channel of more than 8 bits ({frame.format.name}): depth, no camera")
    turn, native = turn_of(frame), shown_size(frame, aspect)
    shown = framing.scaled(*native) if framing else native
    picture = turn.apply(to_rgb(frame, *turn.size(*shown)))
    return framing.placed(picture) if framing else picture


KNOWN_DEEP: dict[str, bool] = {}


def _is_deep(name: str, pixel_format: Any) -> bool:
    if name not in KNOWN_DEEP:
        components = pixel_format.components
        KNOWN_DEEP[name] = len(components) == 1 and components[0].bits > 8
    return KNOWN_DEEP[name]


@dataclass(frozen=True)
class Region:
    """A part of the picture as shown, in fractions of its sides; the left half of a stereo pair is right=0.5."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ValueError(f"{self} is no part of a picture; expected 0 <= left < right <= 1, 0 <= top < bottom <= 1")

    def stored(self, turn: Turn) -> "Region":
        """Tell which part of the stored picture is shown there."""
        left, right = (1 - self.right, 1 - self.left) if turn.mirror else (self.left, self.right)
        top, bottom = (1 - self.bottom, 1 - self.top) if turn.flip else (self.top, self.bottom)
        return Region(top, left, bottom, right) if turn.swap else Region(left, top, right, bottom)


class _Crop:
    """Crops frames without copying them; sides fall on even pixels, for colours are stored at half the resolution."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._made: tuple[Any, Graph] | None = None

    def apply(self, frame: Any) -> Any:
        turn = turn_of(frame)
        kind = (frame.width, frame.height, frame.format.name, turn)
        if self._made is None or self._made[0] != kind:
            self._made = (kind, self._graph(frame, self._region.stored(turn)))
        graph = self._made[1]
        graph.push(frame)
        return graph.pull()

    @staticmethod
    def _graph(frame: Any, region: Region) -> Graph:
        left, right = (2 * round(x * frame.width / 2) for x in (region.left, region.right))
        top, bottom = (2 * round(y * frame.height / 2) for y in (region.top, region.bottom))
        if right <= left or bottom <= top:
            raise RecordError(f"is {frame.width}x{frame.height}, too small for {region}")
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format.name, time_base=frame.time_base or Fraction(1)
        )
        crop = graph.add("crop", f"{min(right, frame.width) - left}:{min(bottom, frame.height) - top}:{left}:{top}")
        source.link_to(crop)
        crop.link_to(graph.add("buffersink"))
        graph.configure()
        return graph


class Shrinker:
    """Makes of a frame what is stored: cropped, scaled, upright and JPEG."""

    def __init__(
        self, frame_size: int, region: Region | None = None, how: Fit = "squash", *, aspect: float = 1.0
    ) -> None:
        self._framing, self._aspect = Framing(frame_size, how), aspect
        self._crop = _Crop(region) if region else None

    def take(self, frame: Any) -> tuple[tuple[int, int], bytes]:
        """Return the native (height, width) as shown and the JPEG."""
        if self._crop:
            frame = self._crop.apply(frame)
        return shown_size(frame, self._aspect), jpeg.encode(upright(frame, self._framing, self._aspect))


def shrink(
    timed: Iterable[tuple[float, Any]], frame_size: int, how: Fit = "squash", *, aspect: float = 1.0
) -> Iterator[Taken]:
    """Scale, turn upright and encode each frame; raise RecordError when they grow too many."""
    shrinker = Shrinker(frame_size, how=how, aspect=aspect)
    last: tuple[Any, tuple[int, int], bytes] | None = None
    total = 0
    for count, (time_s, frame) in enumerate(timed):
        if last is None or last[0] is not frame:
            last = (frame, *shrinker.take(frame))
        total += len(last[2])
        if count >= MAX_FRAMES or total > MAX_BYTES:
            raise RecordError(f"has more than {count} frames, {total / 1e9:.2f} GB of pictures; cut it into clips")
        yield time_s, last[1], last[2]


def camera_frames(taken: Iterable[tuple[tuple[int, int], bytes]], frame_size: int, how: Fit = "squash") -> CameraFrames:
    """Put (native size, JPEG) together; raise RecordError when the size changes."""
    frames = list(taken)
    if not frames:
        raise RecordError("holds no frames")
    native = frames[0][0]
    for i, (size, _) in enumerate(frames):
        if size != native:
            raise RecordError(f"changes its size from {native} to {size} at frame {i}")
    height, width = Framing(frame_size, how).size(*native)
    return CameraFrames(
        jpegs=[data for _, data in frames],
        height=height,
        width=width,
        native_height=native[0],
        native_width=native[1],
    )
