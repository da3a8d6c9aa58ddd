"""Files in memory as the system pages them in.

A map keeps no handle, of which a process often may have but 1,024 (Python's own `mmap` keeps one); of maps it may have
65,530. What is deleted stays readable while it is mapped.
"""

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa

MAPS_HELD: Final = 4096
"""By one reader."""
_advise: Final = ctypes.CDLL(None).madvise
_advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class MappedFile:
    """One file, read only."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        with pa.memory_map(str(Path(path))) as file:
            self._buffer = file.read_buffer()
        self.view = memoryview(self._buffer).cast("B")

    def __len__(self) -> int:
        return len(self.view)

    def will_need(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Have a disk fetch (first byte, number of bytes) all at once, and not each when it is read."""
        for begin, size in ranges:
            start = self._buffer.address + begin
            page = start - start % mmap.PAGESIZE
            _advise(page, start + size - page, mmap.MADV_WILLNEED)
