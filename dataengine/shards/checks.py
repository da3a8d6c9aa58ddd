"""A shard is compared with its checksum before anything of it is used: its bytes are read once by each machine.

That a shard was found whole is remembered in a file below the user's cache folder (as in `formats/tar.py`), for as long
as it keeps its path, size and time; `villa shard FOLDER --verify` compares again. Processes that meet at one shard wait
for the first of them. Where the cache cannot be written every process reads for itself.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dataengine.digest import stable_id
from dataengine.formats import tar
from dataengine.machine import num_cores
from dataengine.shards.manifest import DamagedShardsError, ShardEntry

MIN_BYTES = 2**24
"""Smaller shards are read in milliseconds: a file would not pay."""
WHOLE = b"whole"
DAMAGED = "damaged, its bytes have another checksum than was written"


class Checks:
    """Which shards of a folder this process may use."""

    def __init__(self, directory: Path, entries: Sequence[ShardEntry]) -> None:
        self._directory, self._entries = directory, entries
        self._whole: set[int] = set()

    def require(self, numbers: Iterable[int]) -> None:
        """Raise DamagedShardsError unless these shards are as they were written."""
        new = sorted(set(numbers) - self._whole)
        if len(new) > 1:
            with ThreadPoolExecutor(min(len(new), num_cores()), "checksum") as pool:
                list(pool.map(self._check, new))
        for number in new[:1]:
            self._check(number)
        self._whole.update(new)

    def _check(self, number: int) -> None:
        path, entry = self._directory / self._entries[number].name, self._entries[number]
        with _remembered(path, entry) as mark:
            if mark is not None and os.pread(mark, len(WHOLE), 0) == WHOLE:
                return
            if not is_whole(path, entry):
                raise DamagedShardsError(path, DAMAGED)
            if mark is not None:
                with contextlib.suppress(OSError):
                    os.pwrite(mark, WHOLE, 0)


def remember(path: Path, entry: ShardEntry) -> None:
    """Note that a shard was compared just now."""
    with _remembered(path, entry) as mark:
        if mark is not None:
            with contextlib.suppress(OSError):
                os.pwrite(mark, WHOLE, 0)


def check_again(path: Path, entry: ShardEntry) -> bool:
    """Read a shard and compare, whatever is remembered, and remember the answer."""
    good = is_whole(path, entry)
    with _remembered(path, entry) as mark:
        if mark is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(mark, 0)
                os.pwrite(mark, WHOLE if good else b"", 0)
    return good


def is_whole(path: Path, entry: ShardEntry) -> bool:
    """Read a shard and compare."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256


@contextlib.contextmanager
def _remembered(path: Path, entry: ShardEntry) -> Iterator[int | None]:
    """Open the file that remembers a shard, alone in it; None where there is none."""
    mark: int | None = None
    if entry.num_bytes >= MIN_BYTES:
        with contextlib.suppress(OSError, RuntimeError):  # no right to write, no locks, or no home
            facts, folder = path.stat(), tar.cache_folder().with_name("shards")
            key = stable_id(str(path.resolve()), str(facts.st_size), str(facts.st_mtime_ns), entry.sha256)
            folder.mkdir(parents=True, exist_ok=True)
            mark = os.open(folder / key, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(mark, fcntl.LOCK_EX)
    try:
        yield mark
    finally:
        if mark is not None:
            os.close(mark)
