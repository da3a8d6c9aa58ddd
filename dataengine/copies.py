"""Files of an object store on this machine: each is copied when it is wanted, and the longest unused make room.

Copies lie below the user's cache folder (`$XDG_CACHE_HOME/villa-engine/copies`), in a folder for each state of what was
copied, for all processes of the machine: of those that want one file at once, one copies it. A copy gets its name when
all of it is there; what a killed process leaves is no copy. A store that fails now and then is asked again.
"""

import contextlib
import fcntl
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from dataengine.digest import stable_id
from dataengine.errors import DataEngineError
from dataengine.formats import tar
from dataengine.hashed_file import HashedFile
from dataengine.storage import file_system, join
from dataengine.whole_file import is_partial, whole_file, write_whole

TRIES: Final = 6
FIRST_WAIT_S: Final = 0.25
"""Doubled after each try."""
BLOCK_BYTES: Final = 2**22
OLD_PARTIAL_S: Final = 3600
"""A partial copy that nobody wrote to for so long is of a process that is gone."""
COPIED_AT_ONCE: Final = 8
OTHERS: Final = 16
"""Processes that may copy at once before what is free needs counting again."""
ALONE: Final = (".tar", ".blob")
"""Files that may go by themselves: whoever has mapped one keeps it, and whoever wants one copies it again."""
_IN_USE: Final = ".in-use"
_LOCK: Final = ".lock"

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
    """Copies of files below one folder of a store, in the `state` that it has; `max_bytes` are of all such folders.

    Of files that do not go by themselves, a folder keeps all for as long as a process has it open.
    """

    def __init__(self, uri: str, state: str, max_bytes: float) -> None:
        self.uri, self._max_bytes, self._unlooked = uri, max_bytes, 0.0
        self._root = tar.cache_folder().with_name("copies")
        self.directory = self._root / stable_id(uri, state)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.directory / _IN_USE, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DataEngineError(
                f"{self._root}: cannot be written ({error.strerror}), expected a folder for copies of {uri}; set "
                f"XDG_CACHE_HOME to one"
            ) from error
        with contextlib.suppress(OSError):  # a disk without locks: nothing says that the folder is in use
            fcntl.flock(self._handle, fcntl.LOCK_SH)
        os.utime(self._handle)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._handle)

    def write(self, name: str, data: bytes) -> None:
        """Put a small file that was read already beside the copies."""
        write_whole(self.directory / name, data)

    def copy(
        self, name: str, num_bytes: int | None = None, sha256: str = "", copied: Callable[[Path], object] | None = None
    ) -> Path:
        """Give a copy of a file; one that has other bytes than these is none. `copied` is called for a new one."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.with_name(f"{path.name}{_LOCK}")):
            if not path.exists() or num_bytes not in (None, path.stat().st_size):  # cut short since, by whatever
                again(join(self.uri, name), lambda: self._download(path, name, num_bytes, sha256))
                self._unlooked -= path.stat().st_size
                if self._unlooked <= 0:
                    self._make_room(path)
                if copied is not None:
                    copied(path)
            facts = path.stat()
            os.utime(path, ns=(time.time_ns(), facts.st_mtime_ns))
        return path

    def _download(self, path: Path, name: str, num_bytes: int | None, sha256: str) -> None:
        system, source = file_system(join(self.uri, name))
        with (
            whole_file(path) as partial,
            system.open_input_stream(source) as stream,
            partial.open("wb") as out,
        ):
            file = HashedFile(out)
            while block := stream.read(BLOCK_BYTES):
                file.write(block)
            if num_bytes is not None and file.num_bytes != num_bytes:
                raise OSError(f"{file.num_bytes} bytes, expected {num_bytes}")
            if sha256 and file.sha256 != sha256:
                raise OSError(f"{file.num_bytes} bytes of another checksum than the manifest's")

    def make_room(self) -> None:
        """Delete what was not used for longest until the rest fits."""
        self._make_room()

    def _make_room(self, new: Path | None = None) -> None:
        """Delete the longest unused of all folders until what is left fits; what is mapped stays readable."""
        with _alone(self._root / f".room{_LOCK}"):
            unused: list[tuple[int, int, Path]] = []
            total = 0
            for folder in filter(Path.is_dir, self._root.iterdir()):
                rest = 0
                for path in folder.rglob("*"):
                    with contextlib.suppress(OSError):
                        facts = path.stat()
                        if is_partial(path.name) and time.time() - facts.st_mtime > OLD_PARTIAL_S:
                            path.unlink()
                        elif path.suffix in ALONE:
                            unused.append((facts.st_atime_ns, facts.st_size, path))
                            total += facts.st_size
                        elif path.is_file():
                            rest += facts.st_size
                with contextlib.suppress(OSError):
                    unused.append(((folder / _IN_USE).stat().st_mtime_ns, rest, folder))
                    total += rest
            for _, size, path in sorted(unused):
                if total <= self._max_bytes:
                    break
                if path not in (new, self.directory) and _delete(path):
                    total -= size
        self._unlooked = (self._max_bytes - total) / OTHERS


def _delete(path: Path) -> bool:
    """Delete a file, or what a folder holds beside files that go by themselves if nobody has it open; tell whether."""
    if not path.is_dir():
        with contextlib.suppress(OSError):
            path.unlink()
        return True
    with contextlib.suppress(OSError):
        handle = os.open(path / _IN_USE, os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for file in [one for one in path.rglob("*") if one.is_file()]:
                if file.name != _IN_USE and file.suffix not in (*ALONE, _LOCK):
                    file.unlink()
        finally:
            os.close(handle)
        return True
    return False


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with contextlib.suppress(OSError):  # a disk without locks: two may copy one file
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
