"""A folder that a command writes: what is ours in it is listed, everything else stays as it is.

`.villa-output.json` (the marker) says which command wrote the folder and which files; it names a file before that is
written, so that a killed command goes on. Only listed files are ever replaced or deleted. `.villa-lock` keeps a second
command out for as long as the first one lives: the kernel lets go of it however that one ends.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from dataengine.errors import DataEngineError
from dataengine.formats import json_file
from dataengine.shard_manifest import LOCK

if TYPE_CHECKING:
    from dataengine.store import Corpus

MARKER = ".villa-output.json"
VERSION = 1
NO_LOCKS = frozenset((errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL))
"""What disks of a network say that keep no locks."""
PASSING = frozenset((MARKER, LOCK, ".DS_Store", "lost+found", f"{MARKER}.partial"))
"""Names that say nothing about whose a folder is."""
PAGES = frozenset(("curate", "probe", "lam report"))
"""Commands that list each of their files, never a folder with all that is in it."""
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
    _names: set[str] = field(default_factory=set)

    def path(self, name: str) -> Path:
        """Give the path of a file that is about to be written; its folder is there."""
        self.claim(name)
        place = self.root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def claim(self, *names: str) -> None:
        """List files that will be written, and folders (`name/`) with all that is in them; refuse what is another's."""
        for name in names:
            if _leaves(self.root, name):
                raise DataEngineError(
                    f"{self.root / name}: a link leads out of the folder, to {(self.root / name).resolve()}, where "
                    f"nothing is written; remove the link, or give another folder"
                )
        new = [name for name in names if not self._is_listed(name)]
        for name in new:
            if os.path.lexists(self.root / name):
                raise DataEngineError(
                    f"{self.root / name}: is there already and `villa {self.command}` did not write it; move it away, "
                    f"or give another folder"
                )
        if new or not (self.root / MARKER).exists():
            self._names.update(new)
            self._save()

    def write(self, name: str, words: str) -> Path:
        """Write a text file, whole or not at all."""
        place = self.path(name)
        draft = place.with_name(f".{place.name}.partial")
        draft.write_text(words, encoding="utf-8")
        draft.replace(place)
        return place

    def remove(self, *patterns: str) -> None:
        """Delete the listed files that match; the list keeps them no longer."""
        gone = {name for name in self._names if any(fnmatchcase(name, pattern) for pattern in patterns)}
        for name in gone:
            (self.root / name).unlink(missing_ok=True)
        if gone:
            self._names -= gone
            self._save()

    def _is_listed(self, name: str) -> bool:
        return name in self._names or any(f"{above}/" in self._names for above in Path(name).parents)

    def _save(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        draft = self.root / f"{MARKER}.partial"
        about = {"villa": VERSION, "command": self.command, "files": sorted(self._names)}
        draft.write_text(json.dumps(about, indent=1), encoding="utf-8")
        draft.replace(self.root / MARKER)


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
    place = Path(root).expanduser().absolute()
    refuse_place(place, sources)
    _listed(place, command, before)
    is_new = not place.exists()
    place.mkdir(parents=True, exist_ok=True)
    with locked(place, command):
        try:
            # Looked at again: whoever had the lock may have written since.
            yield OutputFolder(place, command, _listed(place, command, before))
        finally:
            if is_new:
                _remove_empty(place)


def _remove_empty(place: Path) -> None:
    """Leave no folder behind in which nothing came to lie."""
    if {entry.name for entry in place.iterdir()} <= {MARKER, LOCK}:
        (place / MARKER).unlink(missing_ok=True)
        (place / LOCK).unlink(missing_ok=True)
        place.rmdir()


def refuse_place(place: Path, sources: Iterable[str] = ()) -> None:
    """Refuse to write into a corpus or among raw recordings."""
    place = place.resolve()
    roots = {Path(root).expanduser().resolve() for root in sources if "://" not in root}
    for above in (place, *place.parents):
        where = "is" if above == place else f"lies in {above},"
        if (above / "episodes.lance").is_dir():
            raise DataEngineError(f"{place}: {where} a corpus, in which nothing else is written; give another folder")
        if above in roots or _is_recordings(above):
            raise DataEngineError(
                f"{place}: {where} a folder of raw recordings, in which nothing is written; give another folder"
            )


def _is_recordings(folder: Path) -> bool:
    return any(all((folder / name).exists() for name in names) for names in SIGNS)


def _listed(place: Path, command: str, before: Before | None) -> set[str]:
    """Read which files of a folder this command wrote; refuse the folder of anybody else."""
    if not place.exists():
        if place.is_symlink():
            raise DataEngineError(f"{place}: is a link to nothing, expected a folder; remove it, or give another name")
        return set()
    if not place.is_dir():
        raise DataEngineError(f"{place}: is a file, expected a folder; give another name")
    if (place / MARKER).exists():
        return _read_marker(place, command)
    found = sorted(entry.name for entry in place.iterdir() if entry.name not in PASSING)
    if not found:
        return set()
    if before is not None and before.proof(place):
        files = _files(place, before) - PASSING
        ours = {name for name in files if re.fullmatch(before.files, name)}
        if before.beside or ours == files:
            return ours
        found = sorted(files - ours)
    raise DataEngineError(
        f"{place}: holds files that `villa {command}` did not write ({found[0]}"
        f"{f' and {len(found) - 1} more' if len(found) > 1 else ''}); give a new or empty folder"
    )


def _files(place: Path, before: Before) -> set[str]:
    """List all files below a folder; of a folder that is ours as a whole only its name."""
    found: set[str] = set()
    for entry in place.iterdir():
        if entry.is_dir() and not entry.is_symlink() and not re.fullmatch(before.files, f"{entry.name}/"):
            found |= {f"{entry.name}/{path.relative_to(entry)}" for path in entry.rglob("*") if not path.is_dir()}
        else:
            found.add(f"{entry.name}/" if entry.is_dir() else entry.name)
    return found


def _read_marker(place: Path, command: str) -> set[str]:
    try:
        about = json_file.as_object(json_file.read(place / MARKER))
        theirs, names = about["command"], {str(name) for name in about["files"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataEngineError(
            f"{place / MARKER}: cannot be read ({type(error).__name__}), so nobody knows what is ours in its folder; "
            f"give a new folder"
        ) from error
    if theirs != command:
        raise DataEngineError(
            f"{place}: holds what `villa {theirs}` wrote, found `villa {command}`; give another folder"
        )
    outside = [name for name in sorted(names) if ".." in name.split("/") or _leaves(place, name)]
    if outside:
        raise DataEngineError(
            f"{place / MARKER}: lists {outside[0]}, which is outside of the folder; give a new folder"
        )
    folders = [name for name in sorted(names) if not name.endswith("/") or theirs in PAGES]
    folders = [name for name in folders if (place / name).is_dir()]
    if folders:
        raise DataEngineError(
            f"{place / MARKER}: damaged, lists the folder {folders[0]}, expected files; give a new folder"
        )
    return names


def _leaves(folder: Path, name: str) -> bool:
    """Tell whether a name, with its links followed, lies outside of the folder."""
    return not (folder / name).resolve().is_relative_to(folder.resolve())


@contextlib.contextmanager
def locked(folder: Path, command: str) -> Iterator[None]:
    """Keep other commands out of a folder that is there; say who is in it already."""
    handle = _lock(folder)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"`villa {command}` (pid {os.getpid()} on {socket.gethostname()})".encode(), 0)
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        os.close(handle)


def _lock(folder: Path) -> int:
    """Open the lock of a folder and take it; the kernel gives it back when this process ends."""
    while True:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 500, 0).decode("utf-8", "replace").strip()
            os.close(handle)
            who = f"another {holder}" if holder else "another command"
            raise DataEngineError(f"{folder}: {who} is writing to it; wait for that, or give another folder") from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            words = f"{folder}: its disk keeps no locks ({error.strerror}); see to it that nothing else writes there"
            print(words, file=sys.stderr, flush=True)  # noqa: T201
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # whoever had it has just deleted it


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

    found: set[str] = set()
    for run in Corpus.open(corpus.uri).runs().to_pylist():
        with contextlib.suppress(ValueError, TypeError):
            if run["command"] == "ingest":
                settings = json.loads(run["config"])
                # Runs from before there were `roots` keep what was typed, relative to nobody knows what.
                found |= set(settings["roots"] if "roots" in settings else _roots(settings))
    return found


def sources_at(place: str | Path) -> set[str]:
    """List the roots behind a corpus; none of shards, which are trained on where there is neither corpus nor Lance."""
    from dataengine.shards import is_shards

    if not str(place) or ("://" not in str(place) and is_shards(place)):
        return set()
    from dataengine.store import Corpus

    return roots_of(Corpus.open(str(place))) if Corpus.exists(str(place)) else set()


def _roots(settings: object) -> Iterator[str]:
    if isinstance(settings, dict):
        if isinstance(settings.get("root"), str):
            yield settings["root"]
        settings = list(settings.values())
    if isinstance(settings, list):
        for inner in settings:
            yield from _roots(inner)
