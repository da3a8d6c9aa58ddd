"""The marker of a folder that a command writes: which command, which files, and what it left in them.

A file is listed before it is written, so that a killed command goes on, and what it holds is noted when the command
ends. From the moment a later call may write a file until that call ends nobody knows what it holds.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError
from dataengine.formats import json_file
from dataengine.whole_file import write_whole
from models.fingerprint import sha256

MARKER = ".villa-output.json"
VERSION = 1
PAGES = frozenset(("curate", "probe", "lam report"))
"""Commands that list each of their files, never a folder with all that is in it."""


@dataclass(frozen=True)
class Content:
    """What a file held when the command that wrote it had ended."""

    bytes: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, file: Path) -> "Content | None":
        """Look at a file; None where there is none."""
        if not file.is_file():
            return None
        facts = file.stat()
        return cls(facts.st_size, facts.st_mtime_ns, sha256(file))

    def is_in(self, file: Path) -> bool:
        """Tell whether a file still holds this; a copy has another time and is as good."""
        if not file.is_file() or (facts := file.stat()).st_size != self.bytes:
            return False
        return facts.st_mtime_ns == self.mtime_ns or sha256(file) == self.sha256


@dataclass
class Marker:
    """What is listed of a folder."""

    root: Path
    command: str
    names: set[str] = field(default_factory=set)
    """Files, and folders (`name/`) with all that is in them."""
    left: dict[str, Content | None] = field(default_factory=dict)
    """What the files held when the last command ended that may have written them; None for one that was not there."""

    def lists(self, name: str) -> bool:
        """Tell whether a file is listed, by itself or in a folder."""
        return name in self.names or any(f"{above}/" in self.names for above in Path(name).parents)

    def changed(self) -> list[str]:
        """Name the files that are there and hold something else than was left in them."""
        return [name for name, content in sorted(self.left.items()) if not self._is_ours(name, content)]

    def _is_ours(self, name: str, content: Content | None) -> bool:
        file = self.root / name
        return not os.path.lexists(file) or (content is not None and content.is_in(file))

    def note(self, names: Iterable[str]) -> None:
        """Remember what listed files hold now."""
        for name in names:
            if name in self.names and not name.endswith("/"):
                self.left[name] = Content.of(self.root / name)

    def save(self) -> None:
        """Write the marker, whole or not at all."""
        left = {name: content and vars(content) for name, content in sorted(self.left.items())}
        about = {"villa": VERSION, "command": self.command, "files": sorted(self.names), "left": left}
        write_whole(self.root / MARKER, json.dumps(about, indent=1))


def read_marker(path: Path, command: str) -> Marker:
    """Read the marker of a folder; raise DataEngineError where it is damaged or another command's."""
    try:
        about = json_file.as_object(json_file.read(path / MARKER))
        theirs, names = about["command"], {str(name) for name in about["files"]}
        left = dict(_left(about.get("left", {}), names))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataEngineError(
            f"{path / MARKER}: cannot be read ({type(error).__name__}), so nobody knows what is ours in its folder; "
            f"give a new folder"
        ) from error
    if theirs != command:
        raise DataEngineError(
            f"{path}: found the output of `villa {theirs}`, expected a new folder or one that `villa {command}` "
            f"wrote; give another folder"
        )
    outside = [name for name in sorted(names) if ".." in name.split("/") or leaves(path, name)]
    if outside:
        raise DataEngineError(f"{path / MARKER}: lists {outside[0]}, which is outside of the folder; give a new folder")
    folders = [name for name in sorted(names) if not name.endswith("/") or theirs in PAGES]
    folders = [name for name in folders if (path / name).is_dir()]
    if folders:
        raise DataEngineError(
            f"{path / MARKER}: damaged, lists the folder {folders[0]}, expected files; give a new folder"
        )
    return Marker(path, command, names, left)


def _left(stated: dict[str, Any], names: set[str]) -> Iterator[tuple[str, Content | None]]:
    """Read what was left in listed files; markers of older versions do not say."""
    for name, content in stated.items():
        if name in names:
            yield (
                name,
                None
                if content is None
                else Content(int(content["bytes"]), int(content["mtime_ns"]), str(content["sha256"])),
            )


def leaves(folder: Path, name: str) -> bool:
    """Tell whether a name, with its links followed, lies outside of the folder."""
    return not (folder / name).resolve().is_relative_to(folder.resolve())
