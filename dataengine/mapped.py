"""Files in memory as the system pages them in.

A map keeps no handle, of which a process often may have but 1,024 (Python's own `mmap` keeps one); of maps it may have
65,530. What is deleted stays readable while it is mapped.

What the disk no longer has ends a process by a signal (SIGBUS) when it is read. A file that was cut short is therefore
looked for before each read, which costs two microseconds. A disk that fails, and a file that is cut while a frame is
being decoded, still end the process.
"""

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa

from dataengine.errors import DataEngineError

MAPS_HELD: Final = 4096
"""By one reader."""
_advise: Final = ctypes.CDLL(None).madvise
_advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class MappedFile:
    """One file, read only."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._number = self._path.stat().st_ino
        with pa.memory_map(str(self._path)) as file:
            self._buffer = file.read_buffer()
        self.view = memoryview(self._buffer).cast("B")

    def __len__(self) -> int:
        return len(self.view)

    def check(self) -> None:
        """Raise DataEngineError where the file was cut short since it was mapped."""
        try:
            facts = self._path.stat()
        except FileNotFoundError:
            return
        if facts.st_size < len(self) and facts.st_ino == self._number:  # another file of that name is none of ours
            raise DataEngineError(
                f"{self._path}: found {facts.st_size} bytes, {len(self)} when it was opened: it was cut short since; "
                f"copy it again, and the same command goes on"
            )

    def will_need(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Have a disk fetch (first byte, number of bytes) all at once, and not each when it is read."""
        for begin, size in ranges:
            start = self._buffer.address + begin
            page = start - start % mmap.PAGESIZE
            _advise(page, start + size - page, mmap.MADV_WILLNEED)
