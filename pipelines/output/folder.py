"""A folder that a command writes: what is ours in it is listed, everything else stays as it is.

Only files that the marker lists (see `marker.py`), and that still hold what we left in them, are ever replaced
or deleted. `.villa-lock` keeps a second command out for as long as the first one lives: the kernel lets go of it
however that one ends.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dataengine.errors import DataEngineError
from dataengine.shards.manifest import LOCK
from dataengine.storage import is_uri
from dataengine.whole_file import is_partial, write_whole
from pipelines.output.marker import MARKER, Marker, leaves, read_marker

if TYPE_CHECKING:
    from dataengine.store import Corpus

NO_LOCKS = frozenset((errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL))
"""What disks of a network say that keep no locks."""
HOLDER_TRIES, HOLDER_WAIT_S = 50, 0.02
"""How long to wait for the name of whoever has a lock."""
PASSING = frozenset((MARKER, LOCK, ".DS_Store", "lost+found"))
"""Names that say nothing about whose a folder is."""
SIGNS = (("meta/info.json",), ("features.json", "dataset_info.json"), ("task_info", "observations"))
"""Files by which folders of raw recordings are known: LeRobot, RLDS, AgiBot."""


@dataclass(frozen=True)
class Before:
    """How an output of a command is known that was written before there were markers."""

    files: str
    """Regular expression of the paths of all its files, and of folders (`name/`) with all that is in them."""
    proof: Callable[[Path], bool]
    """Tells from the contents whether the command wrote the folder."""
    beside: bool = False
    """Whether other files may lie beside, which then stay as they are."""


@dataclass
class OutputFolder:
    """A folder that this command may write to."""

    root: Path
    command: str
    _marker: Marker
    _claimed: set[str] = field(default_factory=set)
    """Files that this call may have written."""

    def path(self, name: str) -> Path:
        """Give the path of a file that is about to be written; its folder is there."""
        self.claim(name)
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def claim(self, *names: str) -> None:
        """List files that will be written, and folders (`name/`) with all that is in them; refuse what is another's."""
        for name in names:
            if leaves(self.root, name):
                raise DataEngineError(
                    f"{self.root / name}: a link leads out of the folder, to {(self.root / name).resolve()}, where "
                    f"nothing is written; remove the link, or give another folder"
                )
        new = [name for name in names if not self._marker.lists(name)]
        for name in new:
            if os.path.lexists(self.root / name):
                raise DataEngineError(
                    f"{self.root / name}: is there already and `villa {self.command}` did not write it; move it away, "
                    f"or give another folder"
                )
        self._claimed.update(names)
        known = self._marker.left.keys() & names
        if new or known or not (self.root / MARKER).exists():
            self._marker.names.update(new)
            for name in known:
                del self._marker.left[name]
            self._marker.save()

    def write(self, name: str, text: str) -> Path:
        """Write a text file, whole or not at all."""
        path = self.path(name)
        write_whole(path, text)
        return path

    def remove(self, *patterns: str, keep: Container[str] = ()) -> None:
        """Delete the listed files that match, all but those to keep; the list has them no longer."""
        names = {name for name in self._marker.names if any(fnmatchcase(name, pattern) for pattern in patterns)}
        gone = {name for name in names if name not in keep}
        for name in gone:
            (self.root / name).unlink(missing_ok=True)
            self._marker.left.pop(name, None)
        if gone:
            self._marker.names -= gone
            self._marker.save()

    def end(self, *, is_new: bool) -> None:
        """Note what this call left in its files; a new marker that lists nothing that is there goes."""
        if is_new and not any(os.path.lexists(self.root / name) for name in self._marker.names):
            (self.root / MARKER).unlink(missing_ok=True)
        elif self._claimed and self.root.exists():
            self._marker.note(self._claimed)
            self._marker.save()


@contextlib.contextmanager
def claimed(
    root: str | Path,
    command: str,
    *,
    before: Before | None = None,
    sources: Iterable[str] = (),
) -> Iterator[OutputFolder]:
    """Have a folder to write to, new or left by an earlier call; raise DataEngineError where it is anything else.

    `sources` are roots of raw recordings, in which nothing may be written. Only one command may be at work in a folder.
    """
    _refuse_store(root)
    path = Path(root).expanduser().absolute()
    refuse_folder(path, sources)
    _listed(path, command, before)
    with made(path), locked(path, command):
        is_new = not (path / MARKER).exists()
        # Looked at again: whoever had the lock may have written since.
        folder = OutputFolder(path, command, _listed(path, command, before))
        try:
            yield folder
        finally:
            with contextlib.suppress(OSError):  # it would hide why the command ended
                folder.end(is_new=is_new)


@contextlib.contextmanager
def made(path: Path) -> Iterator[None]:
    """Make a folder, and leave nothing behind of what had to be made when nothing came to lie in it."""
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for folder in new:
                folder.rmdir()


def _refuse_store(root: str | Path) -> None:
    """Refuse a bucket: a path that is made of its URI is a folder called `s3:` here."""
    if re.match(r"[a-z][a-z0-9+]+:/", os.fspath(root)):
        raise DataEngineError(
            f"{root}: found the URI of a store, expected a folder on a disk; write there, and copy it when it is done"
        )


def refuse_folder(path: Path, sources: Iterable[str] = ()) -> None:
    """Refuse to write into a corpus or among raw recordings."""
    path = path.resolve()
    roots = {Path(root).expanduser().resolve() for root in sources if not is_uri(root)}
    for above in (path, *path.parents):
        where = "is" if above == path else f"lies in {above},"
        if (above / "episodes.lance").is_dir():
            raise DataEngineError(f"{path}: {where} a corpus, in which nothing else is written; give another folder")
        if above in roots or _is_recordings(above):
            raise DataEngineError(
                f"{path}: {where} a folder of raw recordings, in which nothing is written; give another folder"
            )


def is_passing(name: str) -> bool:
    """Tell of a file's name whether it says nothing about whose its folder is."""
    return name in PASSING or is_partial(name.rpartition("/")[2])


def _is_recordings(folder: Path) -> bool:
    return any(all((folder / name).exists() for name in names) for names in SIGNS)


def _listed(path: Path, command: str, before: Before | None) -> Marker:
    """Read which files of a folder this command wrote; refuse the folder of anybody else, and files changed since."""
    if not path.exists():
        if path.is_symlink():
            raise DataEngineError(f"{path}: is a link to nothing, expected a folder; remove it, or give another name")
        return Marker(path, command)
    if not path.is_dir():
        raise DataEngineError(f"{path}: is a file, expected a folder; give another name")
    if (path / MARKER).exists():
        marker = read_marker(path, command)
        _refuse_changed(marker)
        return marker
    entries = sorted(entry.name for entry in path.iterdir() if not is_passing(entry.name))
    if not entries:
        return Marker(path, command)
    if before is not None and before.proof(path):
        files = {name for name in _files(path, before) if not is_passing(name)}
        ours = {name for name in files if re.fullmatch(before.files, name)}
        if before.beside or ours == files:
            return Marker(path, command, ours)
        entries = sorted(files - ours)
    raise DataEngineError(
        f"{path}: holds files that `villa {command}` did not write ({entries[0]}"
        f"{f' and {len(entries) - 1} more' if len(entries) > 1 else ''}); give a new or empty folder"
    )


def _files(folder: Path, before: Before) -> set[str]:
    """List all files below a folder; of a folder that is ours as a whole only its name."""
    names: set[str] = set()
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink() and not re.fullmatch(before.files, f"{entry.name}/"):
            names |= {f"{entry.name}/{path.relative_to(entry)}" for path in entry.rglob("*") if not path.is_dir()}
        else:
            names.add(f"{entry.name}/" if entry.is_dir() else entry.name)
    return names


def _refuse_changed(marker: Marker) -> None:
    """Refuse to go over files that somebody else changed or put in the place of ours."""
    changed = marker.changed()
    if changed:
        more = f" (and {len(changed) - 1} more files)" if len(changed) > 1 else ""
        raise DataEngineError(
            f"{marker.root / changed[0]}: is not what `villa {marker.command}` left there{more}, and what others wrote "
            f"is never overwritten; move it away, or give another folder"
        )


@contextlib.contextmanager
def locked(folder: Path, command: str) -> Iterator[None]:
    """Keep other commands out of a folder that is there; say who is in it already."""
    with exclusive(folder / LOCK, command, f"{folder}: {{}} is writing to it; wait for that, or give another folder"):
        yield


def is_held(folder: Path) -> bool:
    """Tell whether a command is at work in a folder, as far as its disk keeps locks."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


@contextlib.contextmanager
def exclusive(file: Path, command: str, refusal: str) -> Iterator[None]:
    """Hold a lock file while the block runs; raise DataEngineError, `refusal` with who it is, when another has it."""
    handle = _lock(file, refusal)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"`villa {command}` (pid {os.getpid()} on {socket.gethostname()})".encode(), 0)
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(handle)


def _lock(file: Path, refusal: str) -> int:
    """Open a lock file and take it; the kernel gives it back when this process ends."""
    folder = file.parent
    while True:
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except FileNotFoundError:  # whoever made the folder left nothing in it and has just deleted it
            folder.mkdir(parents=True, exist_ok=True)
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(handle)
            os.close(handle)
            who = f"another {holder}" if holder else "another command"
            raise DataEngineError(refusal.replace("{}", who)) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            _tell_of_no_locks(folder, error.strerror)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # whoever had it has just deleted it


def _holder(handle: int) -> str:
    """Read who holds a lock; it writes its name right after it has the lock, so wait for that a moment."""
    for _ in range(HOLDER_TRIES):
        if holder := os.pread(handle, 500, 0).decode("utf-8", "replace").strip():
            return holder
        time.sleep(HOLDER_WAIT_S)
    return ""


@cache
def _tell_of_no_locks(folder: Path, why: str) -> None:
    """Warn once of a folder."""
    line = f"{folder}: its disk keeps no locks ({why}); see to it that nothing else writes there"
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def page_with(title: str) -> Callable[[Path], bool]:
    """Know a folder by our page in it."""

    def proof(folder: Path) -> bool:
        try:
            with (folder / "index.html").open(encoding="utf-8", errors="replace") as file:
                return f"<h1>{title}</h1>" in file.read(100_000)
        except OSError:
            return False

    return proof


def roots_of(corpus: "Corpus") -> set[str]:
    """List the roots of recordings that a corpus was read from, whatever snapshot of it is open."""
    from dataengine.store import Corpus

    roots: set[str] = set()
    for run in Corpus.open(corpus.uri).runs().to_pylist():
        with contextlib.suppress(ValueError, TypeError):
            if run["command"] == "ingest":
                settings = json.loads(run["config"])
                # Runs from before there were `roots` keep what was typed, relative to nobody knows what.
                roots |= set(settings["roots"] if "roots" in settings else _roots(settings))
    return roots


def sources_at(uri: str | Path) -> set[str]:
    """List the roots behind a corpus or shards; nothing of Lance is needed for these."""
    from dataengine.shards.manifest import read_manifest
    from dataengine.shards.reader import is_shards

    if not str(uri):
        return set()
    if not is_uri(uri) and is_shards(uri):
        return set(read_manifest(Path(uri))[1].roots)
    from dataengine.store import Corpus

    return roots_of(Corpus.open(str(uri))) if Corpus.exists(str(uri)) else set()


def _roots(settings: object) -> Iterator[str]:
    if isinstance(settings, dict):
        if isinstance(settings.get("root"), str):
            yield settings["root"]
        settings = list(settings.values())
    if isinstance(settings, list):
        for inner in settings:
            yield from _roots(inner)
