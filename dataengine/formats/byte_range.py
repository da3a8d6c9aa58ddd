"""A file that lies inside another: a member of a tar, read in place without unpacking."""

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from dataengine.formats import files


@dataclass(frozen=True)
class ByteRange:
    """Some bytes of a file, which are a file of their own."""

    path: Path
    """The file that holds them."""
    offset: int
    num_bytes: int
    name: str
    """What it is called in messages."""

    def open(self) -> BinaryIO:
        """Open to be read and sought like a file; raise OSError when the file around it cannot be."""
        return cast(BinaryIO, io.BufferedReader(_Range(self), 2**16))


Location = str | Path | ByteRange
"""Where the bytes of one file lie."""


def name_of(location: Location) -> str:
    """Return the last word of a place."""
    return location.name if isinstance(location, ByteRange) else Path(location).name


def size_of(location: Location) -> int | None:
    """Return the number of bytes; None when there is no such file."""
    if isinstance(location, ByteRange):
        return None if files.size(location.path) is None else location.num_bytes
    return files.size(location)


class _Range(io.RawIOBase):
    """Reads with `pread`: no position is shared with others who read the same file."""

    def __init__(self, location: ByteRange) -> None:
        self._file = os.open(location.path, os.O_RDONLY)
        self._start, self._size, self._at = location.offset, location.num_bytes, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        wanted = max(0, min(len(target), self._size - self._at))
        data = os.pread(self._file, wanted, self._start + self._at)
        target[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._file)
        super().close()
