"""HOI4D: 4,000 sequences of one hand with one of 16 kinds of object, seen from the head, 300 frames each.

[HOI4D_release/]ZY20210800001/H1/C1/N19/S100/s02/T1/align_rgb/image.mp4      1920x1080; 20 s at 15 fps or 10 s at 30
[HOI4D_annotations/]ZY.../T1/action/color.json                               the same folder, or one of the same name
[HOI4D_release/]handpose/refinehandpose_right/ZY.../T1/<frame>.pickle        hands, see `hands.py`
release.txt, testset.txt, task_definitions.csv                               of the repository HOI4D-Instructions

info.duration, events[] {event, startTime, endTime}                          either of two schemas
info.Duration, markResult.marks[] {event, hdTimeStart, hdTimeEnd}
event and kind of object                        -> text `pickup mug`, a `template`
task of the table, where nothing is segmented   -> text `pick and place, mug` of the whole sequence

Times are seconds of the duration that the annotation states, which is 10 for some videos of 20 s: they are mapped by
their share of it. `rest` and `stop` are no actions. The test set has no actions and is left out where testset.txt is
there; without release.txt and testset.txt the folders are walked. H and S, a person in a room, must not be divided.

Doubtful: no licence of the data was read; its authors say that it is for research.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from dataengine.clips.plan import ClipPlan, SkippedLabel, VideoPlan
from dataengine.errors import SourceError
from dataengine.formats import csv_file, files, json_file
from dataengine.formats.video import header
from dataengine.hands import Track
from dataengine.sources._clip_source import ClipSource
from dataengine.sources.hoi4d import hands

SEQUENCE = re.compile(r"ZY\d+/H\d+/C\d+/N\d+/S\d+/s\d+/T\d+")
TOPS = (".", "HOI4D_release", "HOI4D_annotations")
LISTS = (".", "HOI4D-Instructions")
TASKS = ("task_definitions.csv", "definitions/task/task_definitions.csv")
LEVELS = ("ZY*", "H*", "C*", "N*", "S*", "s*", "T*")
IDLE = ("rest", "stop")
Event = tuple[str, Any, Any] | None
"""What is done, its start and its end as they are written; None for an entry that is no event."""
LONGEST_S = 3600.0
SAME = 0.05
"""Durations of annotation and file that differ by less are one, as a share."""
EXPECTED = "a folder with ZY*/H*/C*/N*/S*/s*/T*/align_rgb/image.mp4"


@dataclass(frozen=True)
class Hoi4d(ClipSource):
    """A part is what one person does with one kind of object before one camera."""

    labels: Annotated[
        Literal["actions", "tasks"], "Segmented actions, whole sequences where there are none; or whole sequences."
    ] = "actions"

    name: ClassVar[str] = "hoi4d"
    layout: ClassVar[str] = "mp4 and JSON"
    licence: ClassVar[str] = "HOI4D, research, terms unknown"

    def videos(self) -> Iterator[VideoPlan]:
        """Plan sequence by sequence, in order of their names; only the small JSON of each is opened."""
        root = files.folder(self.root, EXPECTED)
        tasks = _tasks(root)
        names, damaged = _listed(root, "release.txt")
        names = names or _walked(root)
        if not names:
            raise SourceError(f"{root}: found no sequence and no release.txt, expected {EXPECTED}")
        if damaged:
            yield VideoPlan(name="release.txt", path="release.txt", clips=(), skipped=damaged)
        held_back = set(_listed(root, "testset.txt")[0])
        for name in sorted(set(names) - held_back):
            yield self._plan(root, name, tasks)

    def part_of(self, plan: VideoPlan) -> str:
        """Camera, person and kind of object."""
        return "/".join(plan.name.split("/")[:3])

    def completed(self, plan: VideoPlan, duration_s: float) -> VideoPlan:
        """Map labels from the duration that the annotation states to that of the video."""
        stated_s = float(plan.options.get("duration_s", 0))
        if not stated_s or not duration_s or abs(stated_s / duration_s - 1) < SAME:
            return plan
        scale = duration_s / stated_s
        said = {"clock": f"labels of {stated_s:g} s stretched over a video of {duration_s:.4g} s"}
        clips = (
            replace(clip, label_start_s=clip.label_start_s * scale, label_end_s=clip.label_end_s * scale)
            for clip in plan.clips
        )
        return replace(plan, clips=tuple(clips), notes={**plan.notes, **said})

    def hands(self, plan: VideoPlan) -> Track | None:
        """Read the hands of each frame of a sequence."""
        path = Path(self.root)
        return hands.read([path / top for top in TOPS], plan.name, path, header.probe(self.media(plan)).rate_hz)

    def _plan(self, folder: Path, name: str, tasks: Mapping[str, Mapping[str, str]]) -> VideoPlan:
        _, person, kind, _, room, _, task = name.split("/")
        about = tasks.get(kind, {})
        thing = about.get("Category", "").lower()
        path = _below(folder, f"{name}/action/color.json")
        labels: list[ClipPlan | SkippedLabel] = []
        options = {}
        if self.labels == "actions" and path is not None:
            try:
                stated_s, events = _events(json_file.as_object(json_file.read(path)))
            except (json_file.JsonError, AttributeError, OverflowError, TypeError, ValueError) as error:
                labels.append(SkippedLabel(record=name, reason="actions are damaged", detail=str(error), is_bad=True))
            else:
                options = {"duration_s": f"{stated_s:g}"} if stated_s else {}
                labels = [_label(f"{name}/{i}", event, thing) for i, event in enumerate(events)]
        else:
            said = about.get(task, "N/A")
            text = "" if said.strip() in ("", "N/A") else f"{said.lower()}, {thing}"
            labels.append(
                ClipPlan(
                    record=name,
                    label_start_s=0.0,
                    label_end_s=math.inf,
                    texts=(text,) if text else (),
                    text_source="template",
                )
            )
        return VideoPlan(
            name=name,
            path=_relative(folder, f"{name}/align_rgb/image.mp4"),
            group=f"{person}/{room}",
            options=options,
        ).labelled(labels)


def _events(annotation: dict[str, Any]) -> tuple[float, list[Event]]:
    """Return the duration that an annotation states, 0 for none, and (event, start, end) of either schema."""
    info = annotation.get("info")
    about = info if isinstance(info, dict) else {}
    stated_s = float(about.get("duration", about.get("Duration", 0)) or 0)
    if not 0 <= stated_s <= LONGEST_S:
        raise ValueError(f"duration is {stated_s:g}, expected seconds")
    marks = annotation.get("events")
    if isinstance(marks, list):
        return stated_s, [_event(mark, "startTime", "endTime") for mark in marks]
    marks = (annotation.get("markResult") or {}).get("marks")
    if isinstance(marks, list):
        return stated_s, [_event(mark, "hdTimeStart", "hdTimeEnd") for mark in marks]
    raise ValueError("found neither events nor markResult.marks")


def _event(mark: object, start: str, end: str) -> Event:
    """Take an event with its times; nothing where it is none."""
    if not isinstance(mark, dict) or not isinstance(mark.get("event"), str):
        return None
    return mark["event"], mark.get(start), mark.get(end)


def _label(record: str, event: Event, thing: str) -> ClipPlan | SkippedLabel:
    if event is None:
        detail = "expected an object with a text `event`"
        return SkippedLabel(record=record, reason="action is damaged", detail=detail, is_bad=True)
    said, start, end = event
    if said.strip().lower() in IDLE:
        return SkippedLabel(record=record, reason="no action", detail=said)
    try:
        start_s, end_s = float(start), float(end)
    except (OverflowError, TypeError, ValueError):
        detail = f"{said}: start {start!r}, end {end!r}"
        return SkippedLabel(record=record, reason="action has no times", detail=detail, is_bad=True)
    text = " ".join(f"{said.strip().lower()} {thing}".split())
    return ClipPlan(
        record=record,
        label_start_s=start_s,
        label_end_s=end_s,
        texts=(text,),
        text_source="template",
        notes={"verb": said.strip().lower()},
    )


def _tasks(path: Path) -> dict[str, dict[str, str]]:
    """Read what each task of each kind of object is; texts are empty without the table."""
    for folder in LISTS:
        for name in TASKS:
            if (path / folder / name).is_file():
                files.inside_or_stop(path, f"{folder}/{name}")
                rows = csv_file.named(path / folder / name, ("Category ID", "Category"))
                return {row["Category ID"]: row for _, row in rows if row.get("Category ID")}
    raise SourceError(f"{path}: found no {TASKS[0]}; clone HOI4D-Instructions into it")


def _listed(root: Path, name: str) -> tuple[list[str], tuple[SkippedLabel, ...]]:
    """Read a list of sequences, whatever is around their names, and lines that name none; nothing where no list is."""
    path = next((root / folder / name for folder in LISTS if (root / folder / name).is_file()), None)
    names, damaged = [], []
    for number, fields in csv_file.records(path, separator="\t") if path else ():
        line = "".join(fields).strip()
        if match := SEQUENCE.search(line):
            names.append(match[0])
        else:
            detail = f"{line[:80]!r}, expected {'/'.join(LEVELS)}"
            damaged.append(
                SkippedLabel(
                    record=f"{name} line {number}", reason="line names no sequence", detail=detail, is_bad=True
                )
            )
    return names, tuple(damaged)


def _walked(folder: Path) -> list[str]:
    """Find the sequences whose video is there."""
    pattern = "/".join((*LEVELS, "align_rgb/image.mp4"))
    paths = (path.relative_to(folder / top) for top in TOPS for path in (folder / top).glob(pattern))
    return [str(path.parent.parent) for path in paths]


def _below(root: Path, name: str) -> Path | None:
    return next((root / top / name for top in TOPS if files.size(root / top / name) is not None), None)


def _relative(path: Path, name: str) -> str:
    file = _below(path, name)
    return name if file is None else str(file.relative_to(path))
