"""Where RH20T's scenes lie: folders `task_*_user_*_scene_*_cfg_*`, each maybe in several trees at once.

The publisher packs colour, numbers and joints of a scene into archives of their own, which all repeat its folder.
Extracted over one another they are one tree; side by side they are several, and a file is taken from the first that has
it. Some releases have a folder `action` in between. A folder with `_human` behind its name is the human's half.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataengine.errors import RecordError, SourceError
from dataengine.formats import files, json_file

NAME = re.compile(r"task_(\d{4})_user_(\d{4})_scene_(\d{4})_cfg_(\d{4})(_human)?")
LICENCES = ("CC BY-SA 4.0", "CC BY-NC 4.0")
"""Of scenes 1 to 5 (RH20T-C) and 6 to 10 (RH20T-NC)."""
VAL_SCENE = 10
MAX_DEPTH = 4
"""Levels of folders between the root and a scene."""
CAMERA = "cam_"
HUMAN = "_human"
"""Behind the name of a robot's scene: a person does the same before the same cameras."""
DESCRIPTIONS = "task_description.json"


@dataclass(frozen=True)
class Scene:
    """One recording by one robot, or of one person."""

    name: str
    root: Path
    folders: tuple[Path, ...]
    """Folders in which a folder of this name lies."""

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """Task, user, scene and configuration."""
        match = NAME.fullmatch(self.name)
        if not match:
            raise RecordError(f"'{self.name}' is no name of a scene")
        task, user, scene, cfg = (int(number) for number in match.groups()[:4])
        return task, user, scene, cfg

    @property
    def uri(self) -> str:
        """Its first folder."""
        return str(self.folders[0] / self.name)

    def file(self, *names: str) -> Path | None:
        """Return the first that is there of some names below the scene; raise RecordError where it is a link out."""
        for folder in self.folders:
            for name in names:
                path = folder / self.name / name
                if path.is_file():
                    return files.inside(path, self.root, *self.folders)
        return None

    def metadata(self) -> dict[str, Any]:
        """Read metadata.json."""
        path = self.file("metadata.json")
        if path is None:
            raise RecordError("metadata.json is missing; extract the archives again")
        try:
            return json_file.as_object(json_file.read(path))
        except json_file.JsonError as error:
            raise RecordError(f"metadata.json: {error}; copy it again") from error

    def serials(self) -> list[str]:
        """Cameras with a folder, in order of their serial numbers."""
        of_scene = (parent / self.name for parent in self.folders)
        names = {entry.name for folder in of_scene if folder.is_dir() for entry in os.scandir(folder) if entry.is_dir()}
        return sorted(name.removeprefix(CAMERA) for name in names if name.startswith(CAMERA))

    def sizes(self) -> dict[str, int]:
        """Bytes of each file that may be read, by its path below the scene; nothing is opened."""
        sizes: dict[str, int] = {}
        cameras = [f"{CAMERA}{serial}" for serial in self.serials()]
        for parent in self.folders:
            for folder in ("", "transformed", *cameras, *(f"{camera}/color" for camera in cameras)):
                path = parent / self.name / folder
                if not path.is_dir():
                    continue
                for entry in os.scandir(path):
                    if entry.name.endswith((".npy", ".mp4", ".json")) and entry.is_file():
                        sizes.setdefault(f"{folder}/{entry.name}".lstrip("/"), entry.stat().st_size)
        return dict(sorted(sizes.items()))


def video_names(serial: str) -> tuple[str, str]:
    """Where a camera's colour video may lie below its scene; the folder in between came with the 320x180 release."""
    return f"{CAMERA}{serial}/color.mp4", f"{CAMERA}{serial}/color/color.mp4"


def stamp_names(serial: str) -> tuple[str, str]:
    """Where a camera's clock may lie below its scene."""
    return f"{CAMERA}{serial}/timestamps.npy", f"{CAMERA}{serial}/color/timestamps.npy"


def find(root: Path, *, humans: bool = False) -> list[Scene]:
    """List the robots' scenes below a root, or those of `humans`, in order of their names."""
    parents: dict[str, list[Path]] = {}
    for parent, name in _walk(root, MAX_DEPTH, set()):
        if name.endswith(HUMAN) is humans:
            parents.setdefault(name, []).append(parent)
    return [Scene(name, root, tuple(folders)) for name, folders in sorted(parents.items())]


def descriptions_file(root: Path, holders: Iterable[Path]) -> Path | None:
    """Find the file of instructions: at the root, or beside or one level above some scenes."""
    folders = (root, *holders, *(folder.parent for folder in holders if folder != root))
    return next((folder / DESCRIPTIONS for folder in folders if (folder / DESCRIPTIONS).is_file()), None)


def descriptions(path: Path) -> dict[str, Any]:
    """Read the instructions by task; all scenes hang on them, so damage stops the command."""
    try:
        by_task = json_file.read(path)
    except json_file.JsonError as error:
        raise SourceError(f"{path}: {error}; copy it again") from error
    if not isinstance(by_task, dict):
        raise SourceError(f"{path}: found {type(by_task).__name__}, expected an object with a key for each task")
    return by_task


def texts(by_task: Mapping[str, Any], task: int) -> tuple[list[str], dict[str, str]]:
    """Return the instruction, and the publisher's Chinese wording as a note; a few tasks have none."""
    entry = by_task.get(f"task_{task:04}")
    said = entry if isinstance(entry, dict) else {}
    texts = {
        language: text.strip() if isinstance(text := said.get(f"task_description_{language}"), str) else ""
        for language in ("english", "chinese")
    }
    notes = {"instruction_chinese": texts["chinese"]} if texts["chinese"] else {}
    if not texts["english"]:
        return [], {**notes, "instruction_missing": f"{DESCRIPTIONS} has none for task_{task:04}"}
    return [texts["english"]], notes


def licence(number: int) -> str:
    """Name the licence of a scene by its number."""
    return LICENCES[number > 5] if 1 <= number <= 10 else "unknown"


def split(number: int) -> str:
    """Hold out what the loader of the publisher's group holds out."""
    return "val" if number == VAL_SCENE else "train"


def _walk(folder: Path, depth: int, seen: set[str]) -> Iterator[tuple[Path, str]]:
    """Yield each folder of scenes with each of their names; scenes and calibrations are not entered, nor is a folder
    that a link names again: a few links to the root would make millions of places.
    """
    home = os.path.realpath(folder)
    if home in seen:
        return
    seen.add(home)
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError as error:
        raise SourceError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
    for name in names:
        if NAME.fullmatch(name):
            yield folder, name
    if depth:
        for name in names:
            if not NAME.fullmatch(name) and name != "calib" and not name.startswith("."):
                yield from _walk(folder / name, depth - 1, seen)
