"""Something-Something V2: 220,847 short clips of hands doing something with something, each with a sentence.

20bn-something-something-v2/<id>.webm   VP9, 240 pixels high, any width, 12 fps, 2 to 6 s
train.json, validation.json, labels.json, test.json, or the same with `something-something-v2-` before the name, beside
that folder or in `labels/`; entries {id, label, template, placeholders}

frames      decoded once, resampled to `frame_hz` by their timestamps, scaled to `frame_size` square -> primary
label       the template, already filled                                                             -> instruction
template    without square brackets                                                              -> notes

Entries of test.json carry no label, and the split is held out by the publisher: they are not planned. The licence
forbids redistribution: a corpus made of these clips must not be published.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any, ClassVar

from dataengine.clips.plan import ClipPlan, SkippedLabel, VideoPlan
from dataengine.episode import Part, plain_name
from dataengine.errors import RecordError, SourceError
from dataengine.formats import files, json_file
from dataengine.formats.video import video
from dataengine.sources._clip_source import ClipSource
from dataengine.sources._parts import grouped

VIDEOS = "20bn-something-something-v2"
SPLITS = {"train": "train", "validation": "val"}
"""Name of the JSON file to name of the split."""
LONGEST_ID = 60
EXPECTED = f"a folder with {VIDEOS}/<id>.webm, train.json and validation.json"


@dataclass(frozen=True)
class SomethingSomething(ClipSource):
    """A part is a batch of clips of one split; the root holds `20bn-something-something-v2` and the JSON files."""

    name: ClassVar[str] = "something_something"
    layout: ClassVar[str] = "VP9 webm and JSON labels"
    licence: ClassVar[str] = "Something-Something V2 research licence, no redistribution"

    def videos(self) -> Iterator[VideoPlan]:
        """Plan clip by clip, each split in order of their ids."""
        for split, entries in _entries(self._folder()).items():
            for i, entry in enumerate(entries):
                yield _plan(split, str(entry.get("id") or f"entry {i}"), entry)

    def parts(self) -> list[Part]:
        """Group the labelled clips of each split by size; no video is opened."""
        parts = []
        for split, plans in groupby(self.plans(), lambda plan: plan.split):
            sized = ((plan, self.num_bytes(plan) or 0) for plan in plans)
            parts += [self.part(plain_name(f"{split}/{batch[0].name}"), batch) for batch, _ in grouped(sized)]
        return parts

    def duration_s(self, plan: VideoPlan) -> float:
        """Leave the length open: a clip is a whole file, which is opened once."""
        return 0.0

    def cut(
        self, plan: VideoPlan, ranges: Sequence[tuple[float, float]]
    ) -> Iterator[tuple[int, video.Clip | RecordError]]:
        """Decode the file from its first picture to its last."""
        yield 0, video.decode(self.media(plan), self.frame_size, self.frame_hz, how=self.fit)

    def _folder(self) -> Path:
        """Return the root, or say in one line what it is instead."""
        folder = files.folder(self.root, EXPECTED)
        if (folder / VIDEOS).is_dir():
            return folder
        archives = sorted(path.name for path in folder.glob("20bn-something-something-v2-??*"))
        if archives:
            raise SourceError(f"{folder}: found archives ({archives[0]} ...), expected {EXPECTED}; extract them here")
        raise SourceError(f"{folder}: found no folder {VIDEOS}, expected {EXPECTED}; check the path")


def _entries(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Labelled entries by split, in order of their ids."""
    by_split = {}
    for stem, split in SPLITS.items():
        names = [f"{prefix}{stem}.json" for prefix in ("", "something-something-v2-")]
        paths = [folder / sub / name for sub in ("", "labels") for name in names]
        path = next((path for path in paths if path.is_file()), None)
        if path:
            files.inside_or_stop(folder, str(path.relative_to(folder)))
            by_split[split] = sorted(_load(path), key=lambda entry: str(entry.get("id")).rjust(12, "0"))
    if not by_split:
        raise SourceError(f"{folder}: found neither train.json nor validation.json, expected {EXPECTED}")
    return by_split


def _plan(split: str, name: str, entry: dict[str, Any]) -> VideoPlan:
    """Plan one clip, whether it is there or not; one whose id would leave the folder lies nowhere."""
    label, template = entry.get("label"), str(entry.get("template", "")).replace("[", "").replace("]", "")
    why, path = "", f"{VIDEOS}/{name}.webm"
    if not name.isalnum() or len(name) > LONGEST_ID:
        why, path = "id is no plain name of a video; check the JSON file", VIDEOS
    elif not isinstance(label, str) or not label.strip():
        why = "the entry has no label"
    if why:
        skipped = (SkippedLabel(record=name, reason=why, is_bad=True),)
        return VideoPlan(name=name, path=path, split=split, skipped=skipped)
    notes = {"template": template} if template else {}
    clip = ClipPlan(record=name, label_start_s=0.0, label_end_s=inf, texts=(str(label),), notes=notes)
    return VideoPlan(name=name, path=path, split=split, clips=(clip,))


def _load(path: Path) -> list[dict[str, Any]]:
    """Read one JSON file of entries; all of its clips hang on it, so damage stops the command."""
    try:
        entries = json_file.read(path)
    except json_file.JsonError as error:
        raise SourceError(f"{path}: {error}; copy it again") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SourceError(f"{path}: found {type(entries).__name__}, expected a list of entries with id and label")
    return entries
