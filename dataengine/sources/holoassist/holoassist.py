"""HoloAssist: 166 hours of one person guided through a task by another, seen by the guided one's HoloLens 2, ~30 fps.

[video_pitch_shifted/]<session>/Export_py/Video_pitchshift.mp4    896x504; or Video_compress.mp4
data-annotation-trainval-v1_1.json                                list of {video_name, taskType, events}
[data-splits-v1_2/]{train,val,test}-v1_2.txt                      one session a line

event `Fine grained action`    Verb, Adjective, Noun, adverbial   -> text `pull out the big battery`; 1 to 2 s
event `Coarse grained action`  Action sentence                    -> text as the publisher wrote it
start, end                     seconds                            -> label range
Action Correctness             of fine actions                    -> note `correctness`; wrong ones move, too: kept
folder Hands beside the video  joints that were tracked           -> hands, see `hands.py`
R101 of a session's name       a pair of people                   -> what must not be divided beyond the split

Sessions come in the publisher's splits, in which people, though no session, are on both sides; a session in none of
them is `train`. Test sessions have no labels. Names of sessions hold blanks, `&` and `%20`: they are matched decoded.

Doubtful: the text of a fine action is put together from its classes here, hence `template`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote

import msgspec

from dataengine.clips.plan import ClipPlan, SkippedLabel, VideoPlan
from dataengine.errors import SourceError
from dataengine.formats import csv_file, files, json_fields
from dataengine.hands import Track
from dataengine.sources._clip_source import ClipSource
from dataengine.sources.holoassist import hands

ANNOTATIONS = "data-annotation-trainval-v1_1.json"
PACKS = (".", "video_pitch_shifted", "video_compress")
VIDEOS = ("Video_pitchshift.mp4", "Video_compress.mp4")
SPLITS = {"train": "train", "val": "val", "test": "val"}
FINE, COARSE = "Fine grained action", "Coarse grained action"
KINDS = {"fine": (FINE,), "coarse": (COARSE,), "both": (FINE, COARSE)}
NOTHING = ("", "none", "nan")
EXPECTED = f"a folder with {ANNOTATIONS} and <session>/Export_py/{VIDEOS[0]}"


class Event(msgspec.Struct, gc=False):
    """Something that happens in a session."""

    id: int | str | None = None
    label: str | None = None
    start: float | str | None = None
    end: float | str | None = None
    attributes: dict[str, Any] | None = None


class Session(msgspec.Struct, gc=False, rename={"task_type": "taskType"}):
    """A video and what happens in it."""

    video_name: str
    task_type: str | None = None
    events: list[Event] | None = None


@dataclass(frozen=True)
class Holoassist(ClipSource):
    """A part is a session."""

    labels: Annotated[
        Literal["fine", "coarse", "both"], "Actions of a second or two, steps of a task, or both (they overlap)."
    ] = "fine"

    name: ClassVar[str] = "holoassist"
    layout: ClassVar[str] = "mp4 and JSON"
    licence: ClassVar[str] = "CDLA-Permissive-2.0"

    def videos(self) -> Iterator[VideoPlan]:
        """Plan session by session, in the order of the annotations."""
        root = files.folder(self.root, EXPECTED)
        splits = _splits(root)
        there = _there(root)
        for session in _sessions(root):
            key = _key(session.video_name)
            labels = [
                _label(f"{session.video_name}/{event.label}/{i if event.id is None else event.id}", event)
                for i, event in enumerate(session.events or [])
                if event.label in KINDS[self.labels]
            ]
            yield VideoPlan(
                name=session.video_name,
                path=there.get(key, f"{session.video_name}/Export_py/{VIDEOS[0]}"),
                group=session.video_name.split("-")[0].strip() or session.video_name,
                split=splits.get(key, "train"),
                notes={"task": session.task_type} if session.task_type else {},
            ).labelled(labels)

    def hands(self, plan: VideoPlan) -> Track | None:
        """Read the hands beside the video, or in a session's folder of the same name where they were unpacked."""
        path = Path(self.root)
        session = (path / plan.path).parents[1].name
        exports = [(path / plan.path).parent, *(path / pack / session / "Export_py" for pack in PACKS)]
        return next((track for export in exports if (track := hands.read(export, path))), None)


def _sessions(path: Path) -> list[Session]:
    if not (path / ANNOTATIONS).exists():
        raise SourceError(f"{path}: found no {ANNOTATIONS}, expected {EXPECTED}; download the annotations")
    files.inside_or_stop(path, ANNOTATIONS)
    return json_fields.read(path / ANNOTATIONS, list[Session], "HoloAssist")


def _label(record: str, event: Event) -> ClipPlan | SkippedLabel:
    try:
        start_s, end_s = float(event.start), float(event.end)  # type: ignore[arg-type]
    except (OverflowError, TypeError, ValueError):
        detail = f"start {event.start!r}, end {event.end!r}"
        return SkippedLabel(record=record, reason="event has no times", detail=detail, is_bad=True)
    said = event.attributes or {}
    is_fine = event.label == FINE
    text = _fine_text(said) if is_fine else _plain(said.get("Action sentence"))
    notes = {"verb": _plain(said.get("Verb")), "noun": _plain(said.get("Noun"))}
    if is_fine:
        notes |= {
            "correctness": _plain(said.get("Action Correctness")),
            "corrected_by": _plain(said.get("Incorrect Action Corrected by")),
        }
    return ClipPlan(
        record=record,
        label_start_s=start_s,
        label_end_s=end_s,
        texts=(text,) if text else (),
        text_source="template" if is_fine else "publisher",
        notes={key: value for key, value in notes.items() if value},
    )


def _fine_text(said: Mapping[str, Any]) -> str:
    """Put verb, adjective, noun and adverbial into a phrase."""
    verb, noun = _plain(said.get("Verb")), _plain(said.get("Noun"))
    if not verb:
        return ""
    adjective, how = _plain(said.get("Adjective")), _plain(said.get("adverbial", said.get("Adverbial")))
    thing = f"the {adjective} {noun}".replace("  ", " ") if noun else ""
    return " ".join(word for word in (verb, thing, how) if word)


def _plain(value: Any) -> str:
    """Read a value as words: lists are alternatives, `mix/stir` too; `none` is nothing."""
    first = value[0] if isinstance(value, list) and value else value
    text = first.strip() if isinstance(first, str) else ""
    if text.lower() in NOTHING:
        return ""
    return " ".join(re.sub(r"/\S*", "", text).replace("_", " ").split()) if " " not in text else text


def _splits(root: Path) -> dict[str, str]:
    """Read which split each session is in; none of the lists is needed."""
    splits: dict[str, str] = {}
    for name, split in SPLITS.items():
        for folder in (".", "data-splits-v1_2"):
            path = root / folder / f"{name}-v1_2.txt"
            if path.is_file():
                splits |= {_key("".join(fields)): split for _, fields in csv_file.records(path, separator="\t")}
    return splits


def _there(path: Path) -> dict[str, str]:
    """Find the sessions' videos by their decoded names."""
    by_name: dict[str, str] = {}
    for pack in PACKS:
        if not (path / pack).is_dir():
            continue
        for folder in sorted((path / pack).iterdir()):
            name = next((v for v in VIDEOS if (folder / "Export_py" / v).is_file()), None)
            if name:
                by_name.setdefault(_key(folder.name), str((folder / "Export_py" / name).relative_to(path)))
    return by_name


def _key(session: str) -> str:
    """Make names comparable that are encoded here and not there: `R101-%202Aug` and `R101- 2Aug`."""
    return re.sub(r"\s+", " ", unquote(session)).strip()
