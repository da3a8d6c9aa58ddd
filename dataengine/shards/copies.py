"""Shards of an object store on this machine: each file is copied when it is wanted, and the longest unused make room.

Copies lie below the user's cache folder (`$XDG_CACHE_HOME/villa-engine/copies`), in a folder for each state of the
shards (its name follows from the URI and the manifest), for all processes of the machine: of those that want one file
at once, one copies it. A copy gets its name when all of it is there and has the checksum of the manifest; what a killed
process leaves is no copy. A store that fails now and then is asked again.
"""

import contextlib
import fcntl
import hashlib
import math
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from dataengine.digest import stable_id
from dataengine.errors import DataEngineError
from dataengine.formats import tar
from dataengine.shards import checks
from dataengine.shards.hashed_file import HashedFile
from dataengine.shards.manifest import MANIFEST, DamagedShardsError, Manifest, ShardEntry, index_of
from dataengine.storage import Folder, file_system, join
from dataengine.whole_file import is_partial, whole_file, write_whole

TRIES: Final = 6
FIRST_WAIT_S: Final = 0.25
"""Doubled after each try."""
BLOCK_BYTES: Final = 2**22
OLD_PARTIAL_S: Final = 3600
"""A partial copy that nobody wrote to for so long is of a process that is gone."""

T = TypeVar("T")


def again(where: str, read: Callable[[], T]) -> T:
    """Ask a store until it answers; raise DataEngineError where it does not, FileNotFoundError where it has no such."""
    for attempt in range(TRIES):
        try:
            return read()
        except FileNotFoundError:
            raise
        except OSError as error:
            failure = error
            time.sleep(random.uniform(0.5, 1) * FIRST_WAIT_S * 2**attempt)
    first = " ".join((str(failure).splitlines() or ["no answer"])[0].split())[:200]
    raise DataEngineError(
        f"{where}: could not be read in {TRIES} tries ({first}); the same command goes on when the store answers"
    ) from failure


class Copies:
    """Copies of the files of one folder of shards; `max_bytes` are of all shards together, indexes are small."""

    def __init__(self, uri: str, max_bytes: float) -> None:
        self.uri, self._max_bytes = uri, max_bytes
        try:
            data = again(join(uri, MANIFEST), lambda: Folder(uri).read(MANIFEST))
        except FileNotFoundError as error:
            raise DataEngineError(
                f"{uri}: found unfinished shards, expected a folder that `villa shard` finished"
            ) from error
        self._root = tar.cache_folder().with_name("copies")
        self.directory = self._root / stable_id(uri, hashlib.sha256(data).hexdigest())
        try:
            write_whole(self.directory / MANIFEST, data)
        except OSError as error:
            raise DataEngineError(
                f"{self._root}: cannot be written ({error.strerror}), expected a folder for copies of {uri}; set "
                f"XDG_CACHE_HOME to one"
            ) from error

    def check(self, known: Manifest) -> None:
        """Raise DataEngineError unless the store has every shard; say where they are more than fit here."""
        sizes = again(self.uri, Folder(self.uri).sizes)
        for entry in known.shards:
            if sizes.get(entry.name) != entry.num_bytes:
                size = sizes.get(entry.name, 0)
                where = join(self.uri, entry.name)
                raise DamagedShardsError(where, f"{size} bytes are there, its manifest says {entry.num_bytes}")
        self._make_room()
        if known.num_bytes > self._max_bytes:
            size_gb, room_gb = known.num_bytes / 1e9, self._max_bytes / 1e9
            print(  # noqa: T201
                f"{self.uri}: shards of {size_gb:.3g} GB, room for copies of {room_gb:.3g} GB: windows are drawn from "
                f"all of them, so many wait for a whole shard; set copies_gb={math.ceil(size_gb)}, or train from the "
                f"corpus, which is read by the frame",
                file=sys.stderr,
            )

    def shard(self, entry: ShardEntry) -> Path:
        """Give a copy of a shard."""
        return self._copy(entry.name, entry.num_bytes, entry.sha256, entry)

    def index(self, entry: ShardEntry) -> Path:
        """Give a copy of its index."""
        return self._copy(index_of(self.directory, entry).name, None, entry.index_sha256)

    def _copy(self, name: str, num_bytes: int | None, sha256: str, entry: ShardEntry | None = None) -> Path:
        path = self.directory / name
        with self._alone(f"{name}.lock"):
            if not path.exists():
                again(join(self.uri, name), lambda: self._download(path, num_bytes, sha256))
                self._make_room(path)
                if entry is not None:
                    checks.remember(path, entry)
            facts = path.stat()
            os.utime(path, ns=(time.time_ns(), facts.st_mtime_ns))
        return path

    def _download(self, path: Path, num_bytes: int | None, sha256: str) -> None:
        system, source = file_system(join(self.uri, path.name))
        with (
            whole_file(path) as partial,
            system.open_input_stream(source) as stream,
            partial.open("wb") as out,
        ):
            file = HashedFile(out)
            while block := stream.read(BLOCK_BYTES):
                file.write(block)
            if (num_bytes is not None and file.num_bytes != num_bytes) or (sha256 and file.sha256 != sha256):
                raise OSError(f"{file.num_bytes} bytes of another checksum than the manifest's")

    def _make_room(self, new: Path | None = None) -> None:
        """Delete the longest unused shards of all folders until what is left fits; what is mapped stays readable."""
        with self._alone(".room.lock", self._root):
            copies = []
            for path in self._root.glob("*/*"):
                with contextlib.suppress(OSError):
                    facts = path.stat()
                    if is_partial(path.name) and time.time() - facts.st_mtime > OLD_PARTIAL_S:
                        path.unlink()
                    elif path.suffix == ".tar":
                        copies.append((facts.st_atime_ns, facts.st_size, path))
            total = sum(size for _, size, _ in copies)
            for _, size, path in sorted(copies):
                if total <= self._max_bytes:
                    break
                if path != new:
                    with contextlib.suppress(OSError):
                        path.unlink()
                    total -= size

    @contextlib.contextmanager
    def _alone(self, name: str, folder: Path | None = None) -> Iterator[None]:
        handle = os.open((folder or self.directory) / name, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            with contextlib.suppress(OSError):  # a disk without locks: two may copy one file
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
