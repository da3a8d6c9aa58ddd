"""How many samples an mp4 claims to hold, before FFmpeg makes an index of them: 16 bytes can claim four billion.

An mp4 is boxes in boxes, each a size, four letters and its contents; here only those that count samples are read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dataengine.errors import RecordError
from dataengine.formats.byte_range import ByteRange, Location, size_of

LEAST_BYTES = 8
"""Of a frame, on the mean over a file: one in which nothing moves takes some twenty."""
MAX_SAMPLES = 2**23
"""77 hours at 30 in a second; an index takes 72 bytes for each."""
MAX_BOXES = 2**18
FIRST_BYTES = 512
"""Of a box: a track's header is shorter, and so is an edit list of 24 entries."""
BOXES_OF_BOXES = frozenset((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf"))
COUNT_AT = {b"stsz": 8, b"stz2": 8, b"trun": 4}
"""Where in its contents a box says how many samples it tells of."""
TIMES = b"stts"


def check_samples(path: Location) -> None:
    """Raise RecordError when a track of an mp4 claims more samples than its bytes can hold; other files pass."""
    there = size_of(path) or 0
    most = min(there // LEAST_BYTES + 64, MAX_SAMPLES)
    in_fragments, track = 0, {b"stsz": 0, b"stz2": 0}
    with path.open() if isinstance(path, ByteRange) else Path(path).open("rb") as file:
        for name, contents in boxes(file, there):
            if name == b"trak":
                track = dict.fromkeys(track, 0)
            elif name == TIMES and contents[4:8] + contents[12:16] == b"\0\0\0\1" * 2:
                track = dict.fromkeys(track, -(2**32))  # sound that is not packed: FFmpeg takes it by chunks
            elif name in COUNT_AT:
                claimed = int.from_bytes(contents[COUNT_AT[name] : COUNT_AT[name] + 4], "big")
                in_fragments += claimed if name == b"trun" else 0
                if max(in_fragments, track.get(name, 0) + claimed) > most:
                    raise RecordError(f"claims to hold {max(in_fragments, claimed)} frames in {there} bytes")


def boxes(file: BinaryIO, num_bytes: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the first bytes of a file's boxes and of those in them, in order; a few where it is no mp4."""
    return _boxes(file, 0, num_bytes, [])


def _boxes(file: BinaryIO, start: int, stop: int, seen: list[None]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the first bytes of the boxes of a stretch and of those in them, in order."""
    while start + 8 <= stop and len(seen) < MAX_BOXES:
        seen.append(None)
        file.seek(start)
        head = file.read(FIRST_BYTES)
        size, name, header = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1:  # too large for four bytes
            size, header = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:  # to the end
            size = stop - start
        if size < header:
            return
        yield name, head[header : min(size, FIRST_BYTES)]
        if name in BOXES_OF_BOXES:
            yield from _boxes(file, start + header, min(start + size, stop), seen)
        start += size
