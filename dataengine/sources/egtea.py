"""EGTEA Gaze+: 28 hours of cooking seen through glasses, 32 people, 10,325 labelled actions, 24 fps.

videos/<session>.mp4                                      `OP01-R01-PastaSalad.mp4`; also directly below the root
cropped_clips/<session>/<clip>.mp4                        or only these, one for each action
action_annotation/raw_annotations/action_labels.csv       `;` between: clip id; clip prefix; session; start ms; end ms;
                                                          action; verb; nouns
or, without that file, action_annotation/{train,test}_split1.txt with action_idx.txt: clip name, action, verb, nouns

ms / 1000                                       -> label range; a clip's name says it too, and where its file begins
action label, underscores to spaces             -> text; it is the name of a class, hence `template`
OP01 of a session's name                        -> what must not be divided: all that a person did

A trimmed clip is longer than its action: its name ends with the frames F<first>-F<last> (24 in a second) that it holds,
and its action begins `start - first / 24` seconds into it. The publisher's three splits are made for comparing
recognisers and may divide what one person did; all is `train` here, and what is held out goes by person.

Doubtful: no licence was found with the data; ask its authors before you publish a model or a corpus.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from dataengine.clips.plan import ClipPlan, SkippedLabel, VideoPlan
from dataengine.errors import RecordError, SourceError
from dataengine.formats import csv_file, files
from dataengine.sources._clip_source import ClipSource

TABLE = "raw_annotations/action_labels.csv"
COLUMNS = ("clip", "prefix", "session", "start_ms", "end_ms", "action", "verb", "nouns")
SPLITS = ("train_split1.txt", "test_split1.txt")
"""Together they name every clip."""
CLIP = re.compile(r"(?P<session>.+)-(?P<start>\d{1,12})-(?P<end>\d{1,12})-F(?P<first>\d{1,9})-F(?P<last>\d{1,9})")
TRIMMED = "cropped_clips"
FRAME_HZ = 24.0
EXPECTED = "a folder with action_annotation/ and videos/<session>.mp4 or cropped_clips/<session>/<clip>.mp4"


@dataclass(frozen=True)
class Egtea(ClipSource):
    """A part is a session."""

    name: ClassVar[str] = "egtea"
    layout: ClassVar[str] = "mp4 and text tables"
    licence: ClassVar[str] = "EGTEA Gaze+, terms unknown"

    def videos(self) -> Iterator[VideoPlan]:
        """Plan session by session; of a trimmed clip, each is a video of its own."""
        folder = files.folder(self.root, EXPECTED)
        annotations = _annotations(folder)
        sessions: dict[str, list[ClipPlan | SkippedLabel]] = {}
        for session, label in _labels(annotations):
            sessions.setdefault(session, []).append(label)
        trimmed = (folder / TRIMMED).is_dir()
        for session, labels in sorted(sessions.items()):
            paths = (f"videos/{session}.mp4", f"{session}.mp4")
            whole = next((path for path in paths if files.size(folder / path) is not None), None)
            if whole is None and trimmed:
                yield from _trimmed(session, labels)
            else:
                yield _video(session, whole or f"videos/{session}.mp4", labels)

    def part_of(self, plan: VideoPlan) -> str:
        """Keep the trimmed clips of a session together."""
        return plan.options.get("session", plan.name)


def _annotations(path: Path) -> Path:
    for folder in (path / "action_annotation", path):
        if (folder / TABLE).is_file() or (folder / SPLITS[0]).is_file():
            return folder
    raise SourceError(f"{path}: found no action_annotation/{TABLE}, expected {EXPECTED}; extract the annotations here")


def _labels(folder: Path) -> Iterator[tuple[str, ClipPlan | SkippedLabel]]:
    """Yield (session, label) of whichever table is there."""
    if (folder / TABLE).is_file():
        for number, fields in csv_file.records(folder / TABLE, separator=";"):
            if not fields[0].startswith("#"):
                yield _table_label(f"{TABLE} line {number}", [field.strip() for field in fields])
        return
    actions = _classes(folder / "action_idx.txt")
    for split in SPLITS:
        for number, fields in csv_file.records(folder / split, separator=" "):
            yield _split_label(f"{split} line {number}", fields, actions)


def _table_label(where: str, fields: list[str]) -> tuple[str, ClipPlan | SkippedLabel]:
    if len(fields) < len(COLUMNS):
        session = fields[2] if len(fields) > 2 else ""
        detail = f"{len(fields)} fields, expected {len(COLUMNS)}"
        return session, SkippedLabel(record=where, reason="row is damaged", detail=detail, is_bad=True)
    row = dict(zip(COLUMNS, fields, strict=False))
    try:
        start_s, end_s = (csv_file.seconds(row, name, 1e-3) for name in ("start_ms", "end_ms"))
    except RecordError as error:
        return row["session"], SkippedLabel(record=where, reason="row is damaged", detail=str(error), is_bad=True)
    return row["session"], _clip(row["prefix"] or where, start_s, end_s, row["action"], row["verb"])


def _split_label(where: str, fields: list[str], actions: dict[str, str]) -> tuple[str, ClipPlan | SkippedLabel]:
    match = CLIP.fullmatch(fields[0])
    if match is None or len(fields) < 2 or fields[1] not in actions:
        detail = f"{' '.join(fields)[:80]!r}, expected a clip's name and a number of action_idx.txt"
        session = match["session"] if match else ""
        return session, SkippedLabel(record=where, reason="row is damaged", detail=detail, is_bad=True)
    start_s, end_s = int(match["start"]) / 1000, int(match["end"]) / 1000
    return match["session"], _clip(fields[0], start_s, end_s, actions[fields[1]], "")


def _clip(name: str, start_s: float, end_s: float, action: str, verb: str) -> ClipPlan:
    text = action.replace("_", " ").strip().lower()
    return ClipPlan(
        record=name,
        label_start_s=start_s,
        label_end_s=end_s,
        texts=(text,) if text else (),
        text_source="template",
        notes={"verb": verb.lower()} if verb else {},
    )


def _classes(path: Path) -> dict[str, str]:
    """Read `Name_of_class number` lines as number to name."""
    return {fields[-1]: " ".join(fields[:-1]) for _, fields in csv_file.records(path, separator=" ") if len(fields) > 1}


def _video(session: str, path: str, labels: list[ClipPlan | SkippedLabel]) -> VideoPlan:
    return VideoPlan(
        name=session,
        path=path,
        group=_person(session),
    ).labelled(labels)


def _trimmed(session: str, labels: list[ClipPlan | SkippedLabel]) -> Iterator[VideoPlan]:
    """Plan each action in the file that was cut around it, by that file's own clock."""
    folder = f"{TRIMMED}/{session}"
    if damaged := tuple(label for label in labels if isinstance(label, SkippedLabel)):
        yield VideoPlan(name=session, path=folder, clips=(), skipped=damaged, group=_person(session))
    for label in labels:
        if isinstance(label, SkippedLabel):
            continue
        name = CLIP.fullmatch(label.record)
        starts_s = int(name["first"]) / FRAME_HZ if name else 0.0
        clip = replace(label, label_start_s=label.label_start_s - starts_s, label_end_s=label.label_end_s - starts_s)
        unnamed = SkippedLabel(
            record=label.record,
            reason="row is damaged",
            detail="the clip's name does not say which frames its file holds, expected -F<first>-F<last> at its end",
            is_bad=True,
        )
        yield VideoPlan(
            name=label.record,
            path=f"{folder}/{label.record}.mp4",
            clips=(clip,) if name else (),
            skipped=() if name else (unnamed,),
            group=_person(session),
            options={"session": session},
        )


def _person(session: str) -> str:
    return session.split("-")[0]
