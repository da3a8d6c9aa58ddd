"""Egocentric-10K: 10,000 hours of 2,138 people at work in 85 factories, seen from the head; H.265, 30 fps, no text.

factory_001/workers/worker_001/factory001_worker001_part00.tar      pairs of <clip>.mp4 and <clip>.json, read in place
factory_001/workers/worker_001/intrinsics.json                      a fisheye lens; older copies have none

clip               -> windows of `--window-s`: it lasts three minutes and has no labels
fx fy cx cy k1..k4 -> note `camera`, as the publisher writes them
worker             -> what must not be divided

The tars are never unpacked. 100K has the same layout at 456x256.

Doubtful: the licence was not read; the hub page says it after one has agreed to be contacted.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from dataengine.clips.plan import ClipPlan, SkippedLabel, VideoPlan
from dataengine.errors import RecordError, SourceError
from dataengine.formats import files, json_file, tar
from dataengine.formats.byte_range import ByteRange, Location
from dataengine.sources._clip_source import WindowedClipSource

TARS = "factory_*/workers/worker_*/*.tar"
LENS = ("model", "image_width", "image_height", "fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4")
EXPECTED = f"a folder with {TARS}"


@dataclass(frozen=True)
class Egocentric10k(WindowedClipSource):
    """A part is a tar."""

    window_s: Annotated[float, "Seconds of a clip; the publisher's clips are divided into such."] = 10.0

    name: ClassVar[str] = "egocentric_10k"
    layout: ClassVar[str] = "tar of mp4 and JSON"
    licence: ClassVar[str] = "Egocentric-10K, terms unknown"

    def videos(self) -> Iterator[VideoPlan]:
        """Plan tar by tar and clip by clip; only headers of the archives are read."""
        folder = files.folder(self.root, EXPECTED)
        archives = sorted(folder.glob(TARS))
        if not archives:
            raise SourceError(f"{folder}: found no archive, expected {EXPECTED}")
        for archive in archives:
            yield from _of_archive(folder, archive)

    def part_of(self, plan: VideoPlan) -> str:
        """Name the archive."""
        return plan.path

    def media(self, plan: VideoPlan) -> Location:
        """Say where in its archive a clip lies."""
        path = Path(self.root) / plan.path
        files.inside(path, Path(self.root))
        return ByteRange(path, int(plan.options["offset"]), int(plan.options["size"]), plan.options["member"])

    def num_bytes(self, plan: VideoPlan) -> int | None:
        """Say how large a clip is, as long as its archive is as it was."""
        held = files.size(Path(self.root) / plan.path)
        size = int(plan.options.get("size", 0))
        return size if held and held >= int(plan.options.get("offset", 0)) + size else None


def _of_archive(folder: Path, archive: Path) -> Iterator[VideoPlan]:
    worker = archive.parent
    path, group = str(archive.relative_to(folder)), f"{worker.parent.parent.name}/{worker.name}"

    def damaged(reason: str, detail: str) -> VideoPlan:
        label = SkippedLabel(record=path, reason=reason, detail=detail, is_bad=True)
        return VideoPlan(name=path, path=path, clips=(), skipped=(label,), group=group)

    try:
        files.inside(archive, folder)
        index = tar.index(archive, (".mp4",))
        notes = _lens(worker / "intrinsics.json", folder)
    except RecordError as error:
        yield damaged("archive cannot be read", str(error))
        return
    for member, spans in sorted(index.members.items()):
        name = f"{group}/{Path(member).stem}"
        for k, (offset, size) in enumerate(spans):
            clip = ClipPlan(record=name if not k else f"{name}#{k}", label_start_s=0.0, label_end_s=math.inf)
            options = {"member": member, "offset": str(offset), "size": str(size)}
            yield VideoPlan(name=clip.record, path=path, clips=(clip,), group=group, notes=notes, options=options)
    if index.fault:
        yield damaged("archive is damaged behind its last clip", index.fault)


def _lens(path: Path, folder: Path) -> dict[str, str]:
    """Read the lens of a worker's camera; nothing where there is none."""
    if not path.is_file():
        return {}
    try:
        intrinsics = json_file.as_object(json_file.read(files.inside(path, folder)))
    except json_file.JsonError as error:
        raise RecordError(f"intrinsics.json: {error}; copy it again") from error
    return {"camera": json.dumps({key: intrinsics[key] for key in LENS if key in intrinsics})}
