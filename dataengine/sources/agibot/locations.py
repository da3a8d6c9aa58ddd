"""Where AgiBot World's episodes lie: in archives as downloaded, in folders, or partly in both.

observations/<task>/<from>-<to>.tar          <episode>/videos/<camera>_color.mp4, <episode>/tactile/..., depth
observations/<task>/[<from>-<to>/]<episode>/videos/<camera>_color.mp4
proprio_stats/<from>-<to>.tar                <task>/<episode>/proprio_stats.h5, all tasks mixed
proprio_stats/[<from>-<to>/]<task>/<episode>/proprio_stats.h5

Ranges are of episode ids, both ends included. An episode may lie in several places: its copies come in the order
folders first, then archives by range. What is in an archive is known only once its headers were walked, which a
reader does for the archives of its part (`formats/tar.py`), never the plan.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataengine.errors import RecordError
from dataengine.formats import files, tar
from dataengine.formats.byte_range import ByteRange, Location

H5 = "proprio_stats.h5"
STEM = "_color.mp4"
ENDLESS = 10**18

RANGE = re.compile(r"(\d{1,12})-(\d{1,12})")
ABOVE = r"(?:\d+-\d+/)?"
"""A range that an archive may hold once more as a folder."""


@dataclass(frozen=True)
class EpisodeRange:
    """An archive or a folder of the episodes from `first` to `last`."""

    first: int
    last: int
    path: Path
    is_archive: bool

    @property
    def is_named(self) -> bool:
        """Whether its name says its range; an archive that was renamed may hold any episode."""
        return self.last < ENDLESS

    def holds(self, episode: int) -> bool:
        """Whether its name says that it covers an episode."""
        return self.first <= episode <= self.last


@dataclass(frozen=True)
class Copy:
    """One copy of an episode's videos."""

    uri: str
    is_tactile: bool
    folder: Path | None = None
    members: Mapping[str, ByteRange] = field(default_factory=dict)
    """File name to place, in an archive."""

    def video(self, camera: str) -> Location:
        """Place of a camera's video; raise RecordError when the archive holds none."""
        name = f"{camera}{STEM}"
        if self.folder is not None:
            return self.folder / "videos" / name
        if name not in self.members:
            raise RecordError(f"{name}: the video is missing")
        return self.members[name]


@dataclass(frozen=True)
class Archive:
    """What the headers of one archive of observations say."""

    copies: Mapping[int, Sequence[Copy]]
    faults: Sequence[str]


def spans(folder: Path) -> list[EpisodeRange]:
    """Folders and archives with ranges that lie in a folder, folders first, each by range."""
    spans_there = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = RANGE.fullmatch(path.stem if path.suffix == ".tar" else path.name)
        first, last = (int(match[1]), int(match[2])) if match else (0, ENDLESS)
        if path.suffix == ".tar" or (match and path.is_dir()):
            spans_there.append(EpisodeRange(first, last, path, path.suffix == ".tar"))
    return sorted(spans_there, key=lambda span: (span.is_archive, span.first, span.last, span.path.name))


def ids(folder: Path) -> list[int]:
    """Names of sub-folders that are plain numbers, in order: tasks or episodes."""
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted(int(name) for name in names if is_id(name))


def is_id(name: str) -> bool:
    """Whether a name is a plain number, as the publisher writes ids."""
    return len(name) <= 12 and name.isascii() and name.isdecimal() and name == str(int(name))


def folders(task_folder: Path, ranges: Iterable[EpisodeRange]) -> dict[int, list[Path]]:
    """Find the episodes of a task that lie in folders."""
    by_episode: dict[int, list[Path]] = {}
    for folder in (task_folder, *(span.path for span in ranges if not span.is_archive)):
        for episode in ids(folder):
            by_episode.setdefault(episode, []).append(folder / str(episode))
    return by_episode


def archive(span: EpisodeRange, task: str) -> Archive:
    """Find the episodes in an archive of observations; a member that occurs twice is of a second copy."""
    index = opened(span)
    shape = re.compile(rf"(?:(?:observations/)?{task}/)?{ABOVE}(\d{{1,12}})/(videos|tactile)/([^/]+)")
    by_episode: dict[int, list[dict[str, ByteRange]]] = {}
    tactile, outside = set(), set()
    for name, spans_in_file in index.members.items():
        match = shape.fullmatch(name)
        if match is None or not is_id(match[1]):
            continue
        episode = int(match[1])
        if not span.holds(episode):
            outside.add(episode)
        elif match[2] == "tactile":
            tactile.add(episode)
        else:
            copies = by_episode.setdefault(episode, [])
            copies += [{} for _ in range(len(spans_in_file) - len(copies))]
            for copy, (offset, num_bytes) in zip(copies, spans_in_file, strict=False):
                copy[match[3]] = ByteRange(span.path, offset, num_bytes, match[3])
    faults = _faults(index)
    if outside:
        few = ", ".join(map(str, sorted(outside)[:3]))
        faults.append(f"holds {len(outside)} episodes beside the range that it is named after, the first {few}")
    return Archive(
        {
            episode: [Copy(f"{span.path}#{episode}", episode in tactile, members=members) for members in copies]
            for episode, copies in by_episode.items()
        },
        faults,
    )


def inside(location: Location, root: Path) -> Location:
    """Return a place; raise RecordError when its file is a link out of the root."""
    files.inside(location.path if isinstance(location, ByteRange) else Path(location), root)
    return location


def opened(span: EpisodeRange) -> tar.Index:
    """Walk an archive; one that cannot be opened is empty and says why."""
    try:
        root = next(above.parent for above in span.path.parents if above.name in ("proprio_stats", "observations"))
        files.inside(span.path, root)
        return tar.index(span.path, (H5,) if span.path.parent.name == "proprio_stats" else (".mp4",))
    except RecordError as error:
        return tar.Index({}, [], str(error).removeprefix(f"{span.path.name}: "))


def _faults(index: tar.Index) -> list[str]:
    faults = [f"{index.fault}: download it again; what lies before is read"] if index.fault else []
    if index.unsafe:
        faults.append(f"{len(index.unsafe)} names lead out of the archive, the first '{index.unsafe[0]}'; not read")
    return faults


@dataclass(frozen=True)
class ProprioFiles:
    """The numbers of one task, wherever they lie."""

    task: str
    folders: Sequence[Path]
    """That hold tasks."""
    archives: Sequence[EpisodeRange]
    """That a part may need."""

    @classmethod
    def of(cls, folder: Path, task: str, near: Sequence[EpisodeRange]) -> "ProprioFiles":
        """Look into `proprio_stats` itself, and into the folders and archives in it that a part may need."""
        folders = [folder, *(span.path for span in near if not span.is_archive)]
        return cls(task, folders, [span for span in near if span.is_archive])

    def episodes(self) -> Iterator[int]:
        """List the task's episodes; those of archives where the names say so."""
        for folder in self.folders:
            yield from ids(folder / self.task)
        for span in self.archives:
            for name in opened(span).members:
                levels = name.removesuffix(f"/{H5}").split("/")
                if len(levels) > 1 and levels[-2] == self.task and is_id(levels[-1]):
                    yield int(levels[-1])

    def copies(self, episode: int) -> list[Location]:
        """List an episode's files."""
        inner_path = f"{self.task}/{episode}/{H5}"
        copies: list[Location] = [
            folder / inner_path for folder in self.folders if (folder / inner_path).parent.is_dir()
        ]
        for span in (span for span in self.archives if span.holds(episode)):
            members = opened(span).members
            inner = (inner_path, f"proprio_stats/{inner_path}", f"{span.path.stem}/{inner_path}")
            for name in inner:
                copies += [ByteRange(span.path, at, num_bytes, H5) for at, num_bytes in members.get(name, ())]
        return copies

    def why_missing(self, episode: int) -> str:
        """Say what may be the reason that an episode has no numbers."""
        covering = [span for span in self.archives if span.holds(episode)]
        faults = [f"{span.path.name} {fault}" for span in covering for fault in _faults(opened(span))]
        if faults or covering or not self.archives:
            return "".join(f"; {fault}" for fault in faults)
        return "; no archive here covers it"
