"""HO-Cap: nine people handle 64 objects before eight cameras and with a HoloLens on the head; 30 Hz, JPEG by JPEG.

subject_1/20231025_165502/hololens_kv5h72/color_000000.jpg      1280x720, what the person sees
subject_1/20231025_165502/<serial>/color_000000.jpg             640x480, eight cameras around the table
subject_1/20231025_165502/meta.yaml, or older meta.json         num_frames, object_ids, task_id
subject_1/20231025_165502/poses_m.npy                           hands, see `hands.py`

frame / 30          -> time: no rate is stored, 30 Hz is what other readers infer from depth and body poses
length              -> windows of `--window-s` that follow one another: sequences of half a minute have no labels
task_id, objects    -> text `handle object G01_1`, a `template`: the dataset has none and does not say what tasks are
subject             -> what must not be divided

One camera is read unless `--view all`: the one on the head, or the first by its serial where it has no pictures. A
picture that lacks within a sequence costs the windows that it lies in.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import yaml

from dataengine.clips.plan import ClipPlan, SkippedLabel, VideoPlan
from dataengine.errors import RecordError, SourceError
from dataengine.formats import files, jpeg, json_file, yaml_file
from dataengine.formats.video import video
from dataengine.formats.video.clip_range import instants_s
from dataengine.hands import Track
from dataengine.sources._clip_source import WindowedClipSource
from dataengine.sources.ho_cap import hands

RATE_HZ = 30.0
SUBJECT, SEQUENCE = "subject_*", re.compile(r"\d{8}_\d{6}")
HEAD = "hololens_"
NAME = re.compile(r"color_(\d{6})\.jpg")
MAX_JPEG = 2**24
MOST_FRAMES = 10_000_000
EXPECTED = "a folder with subject_<n>/<date>_<time>/<camera>/color_000000.jpg"


@dataclass(frozen=True)
class HoCap(WindowedClipSource):
    """A part is a sequence as one camera saw it."""

    view: Annotated[
        Literal["head", "table", "all"], "The camera on the head, the first one around the table, or every one of them."
    ] = "head"
    window_s: Annotated[float, "Seconds of a clip; a sequence is divided into such."] = 8.0

    name: ClassVar[str] = "ho_cap"
    layout: ClassVar[str] = "JPEG folders and YAML"
    licence: ClassVar[str] = "CC BY 4.0"

    def videos(self) -> Iterator[VideoPlan]:
        """Plan sequence by sequence and camera by camera; pictures are counted by their names."""
        root = files.folder(self.root, EXPECTED)
        folders = [
            path for path in sorted(root.glob(f"{SUBJECT}/*")) if SEQUENCE.fullmatch(path.name) and path.is_dir()
        ]
        if not folders:
            raise SourceError(f"{root}: found no sequence, expected {EXPECTED}; extract the archives of the subjects")
        for folder in folders:
            cameras = self._cameras(folder)
            for camera in cameras or [HEAD]:
                yield self._plan(root, folder, camera)

    def num_bytes(self, plan: VideoPlan) -> int | None:
        """Add up the pictures of a camera."""
        sizes = [path.stat().st_size for path in self._pictures(plan).values() if path.is_file()]
        return sum(sizes) if sizes else None

    def duration_s(self, plan: VideoPlan) -> float:
        """Count pictures, up to the last."""
        if not (pictures := self._pictures(plan)):
            raise RecordError("has no pictures")
        return (max(pictures) + 1) / RATE_HZ

    def cut(
        self, plan: VideoPlan, ranges: Sequence[tuple[float, float]]
    ) -> Iterator[tuple[int, video.Clip | RecordError]]:
        """Take the pictures nearest to each instant."""
        pictures = self._pictures(plan)
        rate_hz = min(self.frame_hz, RATE_HZ)
        for i, (start_s, end_s) in enumerate(ranges):
            wanted_s = instants_s(start_s, end_s, rate_hz)
            numbers = np.minimum(np.round(wanted_s * RATE_HZ).astype(int), max(pictures)).tolist()
            try:
                images = [self._read(pictures, number) for number in numbers]
                frames = jpeg.fit(images, self.frame_size, how=self.fit)
            except RecordError as error:
                yield i, RecordError(f"{start_s:.2f} to {end_s:.2f} s: {error}")
                continue
            yield i, video.Clip(frames, rate_hz, wanted_s - start_s, start_s)

    def hands(self, plan: VideoPlan) -> Track | None:
        """Read the hands of the sequence that a camera saw."""
        folder, root = Path(self.root) / plan.path, Path(self.root)
        head = folder.name.removeprefix(HEAD) if folder.name.startswith(HEAD) else ""
        return hands.read(folder.parent, root, RATE_HZ, head)

    def _read(self, pictures: dict[int, Path], number: int) -> bytes:
        if number not in pictures:
            raise RecordError(f"color_{number:06}.jpg is missing")
        return files.read_bytes(files.inside(pictures[number], Path(self.root)), MAX_JPEG)

    def _pictures(self, plan: VideoPlan) -> dict[int, Path]:
        """List a camera's colour pictures by their numbers."""
        folder = Path(self.root) / plan.path
        names = (NAME.fullmatch(path.name) for path in folder.glob("color_*.jpg"))
        return {int(name[1]): folder / name[0] for name in names if name}

    def _cameras(self, folder: Path) -> list[str]:
        """Choose the cameras of a sequence that are read."""
        names = sorted(path.parent.name for path in folder.glob("*/color_000000.jpg"))
        head = [name for name in names if name.startswith(HEAD)]
        table = [name for name in names if not name.startswith(HEAD)]
        return head + table if self.view == "all" else ((head or table) if self.view == "head" else (table or head))[:1]

    def _plan(self, path: Path, folder: Path, camera: str) -> VideoPlan:
        sequence = str(folder.relative_to(path))
        name = f"{sequence}/{camera}"
        plan = VideoPlan(name=name, path=name, clips=(), group=folder.parent.name)
        try:
            meta = _meta(folder)
            num_frames = int(meta.get("num_frames") or 0) or len(self._pictures(plan))
            if not 0 <= num_frames <= MOST_FRAMES:
                raise ValueError(f"num_frames is {num_frames:.0e}, expected those of a recording")
            objects = [str(word) for word in meta.get("object_ids") or []]
        except (OverflowError, RecordError, TypeError, ValueError) as error:
            damaged = SkippedLabel(record=name, reason="meta is damaged", detail=str(error), is_bad=True)
            return replace(plan, skipped=(damaged,))
        text = f"handle {'object' if len(objects) == 1 else 'objects'} {', '.join(objects)}" if objects else ""
        if not num_frames:
            empty = SkippedLabel(record=name, reason="has no pictures", is_bad=True)
            return replace(plan, skipped=(empty,))
        edges_s = np.arange(0, num_frames / RATE_HZ, self.window_s).tolist()
        clips = [
            ClipPlan(
                record=f"{name}/{i}",
                label_start_s=start_s,
                label_end_s=min(start_s + self.window_s, num_frames / RATE_HZ),
                texts=(text,) if text else (),
                text_source="template",
            )
            for i, start_s in enumerate(edges_s)
        ]
        notes = {"task": str(meta["task_id"])} if "task_id" in meta else {}
        return replace(plan, clips=tuple(clips), notes=notes)


def _meta(folder: Path) -> dict[str, Any]:
    """Read what a sequence says about itself, in either form; nothing where it says nothing."""
    try:
        if (folder / "meta.yaml").is_file():
            meta = yaml_file.read(folder / "meta.yaml")
        elif (folder / "meta.json").is_file():
            meta = json_file.read(folder / "meta.json")
        else:
            return {}
    except (yaml.YAMLError, json_file.JsonError) as error:
        raise RecordError(" ".join(str(error).split())) from error
    if not isinstance(meta, dict):
        raise RecordError(f"found {type(meta).__name__}, expected keys and values")
    return meta
