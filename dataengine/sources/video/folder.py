"""Any folder of video: what somebody filmed, or a dataset that nothing here knows, with labels in a table or without.

**/*.mp4, .mov, .mkv, .webm, .avi, ...      at any depth
clips.csv, in the root; none is needed      path,start,end,text; seconds; optional split, group, licence

path               below the root
start, end         -> label range; both empty for the whole video
text               -> text; may be empty
split, group       -> split; what must not be divided, the video itself where nothing is said; one for a video

The dataset is called after the folder. Without a table, and where a row names a whole video, that is divided into
windows of `--window-s`. With a table only what it names is read.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar

from dataengine.clips.plan import ClipPlan, SkippedLabel, VideoPlan
from dataengine.episode import plain_name, spelt
from dataengine.errors import RecordError, SourceError
from dataengine.formats import csv_file, files
from dataengine.sources._clip_source import WindowedClipSource

TABLE = "clips.csv"
COLUMNS = ("path", "start", "end", "text")
SUFFIXES = frozenset(
    ["avi", "flv", "gif", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "ogv", "ts", "webm", "wmv"]
)
ABOUT = ("group", "split", "licence")
SPLITS = ("train", "val", "test")
EXPECTED = f"a folder of videos, with or without {TABLE} ({','.join(COLUMNS)})"


@dataclass(frozen=True)
class Folder(WindowedClipSource):
    """A part is a video."""

    dataset: Annotated[str, "Name in the corpus; {name} is that of the folder."] = "video/{name}"

    name: ClassVar[str] = "video/folder"
    layout: ClassVar[str] = "videos of any kind, and CSV"
    licence: ClassVar[str] = "your own, or as the table says"
    has_layout: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Name the dataset: videos of two folders may be called alike."""
        super().__post_init__()
        folder = plain_name(spelt(Path(self.root).resolve().name))
        object.__setattr__(self, "name", self.dataset.replace("{name}", folder))  # the class is frozen

    def videos(self) -> Iterator[VideoPlan]:
        """Plan video by video, in order of their paths."""
        folder = files.folder(self.root, EXPECTED)
        if (folder / TABLE).exists():
            yield from _labelled(folder)
            return
        names = sorted(_walked(folder))
        if not names:
            raise SourceError(f"{folder}: found no video, expected {EXPECTED}")
        for name in names:
            yield VideoPlan(name=name, path=name, clips=(_whole(name),))


def _whole(name: str) -> ClipPlan:
    return ClipPlan(record=name, label_start_s=0.0, label_end_s=math.inf)


def _walked(path: Path) -> Iterator[str]:
    """Find the videos by their suffixes; hidden folders are not entered, nor are links followed."""
    for folder, inner, names in os.walk(path):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and name.rpartition(".")[2].lower() in SUFFIXES:
                yield Path(folder, name).relative_to(path).as_posix()


def _labelled(path: Path) -> Iterator[VideoPlan]:
    """Plan what the table names, row by row of one video together."""
    files.inside_or_stop(path, TABLE)
    rows: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for number, row in csv_file.named(path / TABLE, COLUMNS):
        rows.setdefault(_plain(row["path"]), []).append((number, row))
    for name, members in sorted(rows.items()):
        about = {key: next((row[key] for _, row in members if row.get(key)), "") for key in ABOUT}
        labels = [_label(name, number, row, about) for number, row in members]
        yield VideoPlan(
            name=name or TABLE,
            path=name or TABLE,
            group=about["group"],
            split=about["split"].lower() or "train",
            licence=about["licence"],
        ).labelled(labels)


def _plain(path: str) -> str:
    """Write a path in one way: a video that is named in two ways is one."""
    text = path.strip().replace("\\", "/")
    return PurePosixPath(text).as_posix() if text else ""


def _label(name: str, number: int, row: dict[str, str], about: dict[str, str]) -> ClipPlan | SkippedLabel:
    record = f"{name or TABLE} line {number}"

    def bad(reason: str, detail: str) -> SkippedLabel:
        return SkippedLabel(record=record, reason=reason, detail=f"{TABLE} line {number}: {detail}", is_bad=True)

    if not name:
        return bad("row names no video", "path is empty")
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        return bad("row leaves the root", name[:80])
    if row.get("split", "").strip().lower() not in ("", *SPLITS):
        return bad("row is damaged", f"split is {row['split'][:40]!r}, expected one of {', '.join(SPLITS)}")
    for key in ABOUT:
        if row.get(key) not in (None, "", about[key]):
            other = f"{key} is {row[key][:40]!r}, an earlier row of its video says {about[key][:40]!r}"
            return bad("row contradicts another", other)
    text = row.get("text", "").strip()
    if csv_file.TOO_MANY in row:
        return bad(
            "row is damaged", f"{row[csv_file.TOO_MANY][:40]!r} behind its last column; put quotes around its text"
        )
    if "\n" in text:
        return bad("row is damaged", f"its text goes on over lines, {text[:40]!r}; a quote that is not closed?")
    start_s, end_s = 0.0, math.inf
    if row.get("start", "").strip() or row.get("end", "").strip():
        try:
            start_s, end_s = csv_file.seconds(row, "start"), csv_file.seconds(row, "end")
        except RecordError as error:
            return bad("row is damaged", str(error))
    where = f"@{start_s:g}-{end_s:g}" if math.isfinite(end_s) else ""
    return ClipPlan(record=f"{name}{where}", label_start_s=start_s, label_end_s=end_s, texts=(text,) if text else ())
