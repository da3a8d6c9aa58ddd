"""Places and fingerprints of raw files."""

import errno
import os
import stat
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from dataengine.digest import SEPARATOR, hasher, hex_digest
from dataengine.errors import RecordError, SourceError
from dataengine.formats import remote
from dataengine.reading import is_of_the_machine

EDGE_BYTES = 65_536
LINKS = "VILLA_LINKS"
"""Environment variable: folders, with a colon in between, that links in datasets may lead to."""
ALLOW = f"allow its folder with {LINKS}=/its/folder"


def size(path: str | os.PathLike[str]) -> int | None:
    """Return the bytes of a file; None where there is none, where a pipe lies, or for a name that no file can have."""
    facts = _look(path)
    return facts.st_size if facts is not None and stat.S_ISREG(facts.st_mode) else None


def _look(path: str | os.PathLike[str]) -> os.stat_result | None:
    """Look at a file; None where there is none, or where links lead in a circle."""
    try:
        return remote.look(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise


def read_bytes(path: Path, max_bytes: int, title: str = "") -> bytes:
    """Read a small file whole; raise RecordError when it is not there, cannot be read, or is larger than such files.

    Errors call it by its name in its folder, or by `title`.
    """
    title = title or path.name
    facts = _look(path)
    if facts is None:
        raise RecordError(f"{title} is missing")
    if not stat.S_ISREG(facts.st_mode):
        raise RecordError(f"{title} is no regular file")
    if facts.st_size > max_bytes:
        raise RecordError(f"{title}: has {facts.st_size} bytes, expected {max_bytes} at most")
    try:
        return path.read_bytes()
    except OSError as error:
        if is_of_the_machine(error):
            raise
        raise RecordError(f"{title}: cannot be read ({error.strerror})") from error


def fingerprint(path: Path) -> str:
    """Hash the size and both ends (64 KiB) of a large file: cheap, and moves with the bytes."""
    num_bytes = size(path)
    if num_bytes is None:
        return "missing"
    digest = hasher(str(num_bytes), 16)
    with path.open("rb") as file:
        digest.update(file.read(EDGE_BYTES))
        file.seek(max(0, num_bytes - EDGE_BYTES))
        digest.update(file.read(EDGE_BYTES))
    return digest.hexdigest()


def fingerprint_of_sizes(paths: Iterable[Path], *extra: str) -> str:
    """Hash the names and sizes of many small files, and any `extra` words, without opening them."""
    sizes = (f"{path.name} {'missing' if (num_bytes := size(path)) is None else num_bytes}" for path in paths)
    return hex_digest("".join(f"{word}{SEPARATOR}" for word in (*extra, *sizes)), 16)


def inside(path: Path, *roots: Path) -> Path:
    """Return a path; raise RecordError when links lead from it out of a dataset's folders.

    A dataset that came from elsewhere must not bring in what lies elsewhere on this machine. A root may be a link
    itself; a snapshot in a hub cache is made of links into the `blobs` beside it; VILLA_LINKS names more folders.
    """
    target = os.path.realpath(path)
    if not any(Path(target).is_relative_to(home) for root in roots for home in _homes(root)):
        raise RecordError(f"{path.name} leads out of the root to {target}; put a copy in its place, or {ALLOW}")
    return path


def inside_or_stop(root: Path, *names: str) -> None:
    """Raise SourceError when a file that the whole dataset hangs on is a link out of it."""
    for name in names:
        try:
            inside(root / name, root)
        except RecordError as error:
            raise SourceError(f"{root}: {error}") from error


def no_pipe_or_stop(path: Path) -> None:
    """Raise SourceError where a pipe or a device lies in place of a file: to open it may wait for ever."""
    try:
        facts = remote.look(path)
    except OSError:  # who opens it will be told why
        return
    if facts is not None and not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
        raise SourceError(f"{path}: is no regular file, expected one; copy it again")


@lru_cache(maxsize=1024)
def _homes(root: Path) -> tuple[str, ...]:
    """Folders that the files of a dataset may lie in."""
    home = Path(os.path.realpath(root))
    blobs = [
        snapshots.parent / "blobs"
        for snapshots in (home, *home.parents)
        if snapshots.name == "snapshots" and (snapshots.parent / "blobs").is_dir()
    ]
    allowed = [folder for folder in os.environ.get(LINKS, "").split(os.pathsep) if folder]
    return str(home), *(os.path.realpath(str(path)) for path in [*blobs, *allowed])


def folder(root: str | Path, expected: str) -> Path:
    """Return an existing, non-empty folder, or say what is wrong with it."""
    path = Path(root)
    if not path.exists():
        raise SourceError(f"{path}: found nothing, expected {expected}; check the path")
    if not path.is_dir():
        raise SourceError(f"{path}: found a file, expected {expected}; pass the folder")
    if not any(path.iterdir()):
        raise SourceError(f"{path}: found an empty folder, expected {expected}; download the dataset first")
    return path
