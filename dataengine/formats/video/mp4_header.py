"""What an mp4 says of a track beside its frames: how pictures are turned, and what an edit list shows of them.

FFmpeg applies both, and hands out neither before a frame is decoded.
"""

import struct
from dataclasses import dataclass, field
from pathlib import Path

from dataengine.formats.byte_range import ByteRange, Location, size_of
from dataengine.formats.video.mp4_boxes import boxes

UNITS = (16, 16, 30)
"""Bits behind the point in the columns of a matrix."""
IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


@dataclass(frozen=True)
class Edit:
    """One line of an edit list: what a player shows for a while."""

    lasts_s: float
    """0 in a file of fragments means to the end."""
    from_s: float | None
    """Where in the track it begins; None where nothing is shown."""


@dataclass(frozen=True)
class TrackHeader:
    """How one track is shown."""

    matrix: tuple[int, ...] = IDENTITY
    """Nine numbers as FFmpeg gives them: the track's times the movie's."""
    edits: tuple[Edit, ...] = ()
    """Empty where the file has no edit list; of more than 24 entries the first."""


@dataclass
class _Track:
    matrix: tuple[int, ...] = IDENTITY
    scale: int = 0
    edits: list[tuple[int, int]] = field(default_factory=list)


def track_header(path: Location, track_id: int) -> TrackHeader:
    """Read the header of a track by its number (FFmpeg's `stream.id`); files other than mp4 have none."""
    movie_scale = 0
    movie_matrix: tuple[int, ...] = IDENTITY
    tracks: dict[int, _Track] = {}
    track = _Track()
    with path.open() if isinstance(path, ByteRange) else Path(path).open("rb") as file:
        for name, data in boxes(file, size_of(path) or 0):
            wide = data[:1] == b"\x01"  # times of eight bytes
            if name == b"trak":
                track = _Track()
            elif name == b"mvhd":
                movie_scale, movie_matrix = _number(data, 20 if wide else 12), _matrix(data, 48 if wide else 36)
            elif name == b"tkhd":
                track.matrix = _matrix(data, 52 if wide else 40)
                tracks.setdefault(_number(data, 20 if wide else 12), track)
            elif name == b"mdhd":
                track.scale = _number(data, 20 if wide else 12)
            elif name == b"elst":
                entry = struct.Struct(">QqI" if wide else ">IiI")
                count = min(_number(data, 4), (len(data) - 8) // entry.size)
                track.edits = [entry.unpack_from(data, 8 + i * entry.size)[:2] for i in range(count)]
    wanted = tracks.get(track_id, _Track())
    shown = tuple(
        Edit(lasts / (movie_scale or 1), None if start < 0 else start / (wanted.scale or 1))
        for lasts, start in wanted.edits
    )
    return TrackHeader(_product(wanted.matrix, movie_matrix), shown)


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _matrix(data: bytes, at: int) -> tuple[int, ...]:
    """Read nine numbers; a header that is cut short has none."""
    return struct.unpack_from(">9i", data, at) if len(data) >= at + 36 else IDENTITY


def _product(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sum((a[3 * i + k] * b[3 * k + j]) >> UNITS[k] for k in range(3)) for i in range(3) for j in range(3))
