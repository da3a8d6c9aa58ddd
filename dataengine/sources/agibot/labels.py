"""task_info of AgiBot World: what an episode was asked to do, and its labelled segments.

Segments are half open: the end of one is the start of the next. They may begin after the first step and end before
the last. One that reaches beyond the episode is cut; one without a text labels nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataengine.episode import Text
from dataengine.errors import RecordError
from dataengine.formats import files, json_file
from dataengine.reading import one_line
from dataengine.sources.agibot.locations import is_id
from dataengine.texts import whole_episode

Entry = Mapping[str, Any]
MAX_LISTED = 6
"""Bad segments that a note has room for."""
MAX_LETTERS = 60
"""Of what stands in the place of a frame."""


class Contradiction(dict[str, Any]):
    """What stands for the entries of one episode that differ: nobody can tell which is right."""


@dataclass(frozen=True)
class LabelSegment:
    """Steps `start` to `end`, without `end`, during which one text holds."""

    index: int
    """Place in the publisher's list, blank and bad ones included."""
    start: int
    end: int
    text: str
    skill: str


@dataclass(frozen=True)
class Labels:
    """What task_info says of one episode of n steps."""

    task_name: str
    scene: str
    segments: Sequence[LabelSegment]
    bad: Mapping[int, str]
    """Index to what is wrong with a segment."""
    num_unlabelled: int
    """Steps that no segment covers."""
    lost: Sequence[str] = ()
    """What stands in the place of a text and is none."""


def read(folder: Path, task: str) -> dict[int, Entry]:
    """Episode id to its entry; raise RecordError when the file of this task is missing or damaged."""
    path = folder / "task_info" / f"task_{task}.json"
    if not path.is_file():
        raise RecordError(f"task_info/{path.name} is missing; download it")
    try:
        entries = json_file.read(files.inside(path, folder))
    except json_file.JsonError as error:
        raise RecordError(f"task_info/{path.name}: {error}; copy it again") from error
    if not isinstance(entries, list):
        raise RecordError(f"task_info/{path.name}: found {type(entries).__name__}, expected a list of episodes")
    by_episode: dict[int, Entry] = {}
    for entry in entries:
        episode = _id(entry)
        if episode is None:  # an episode that it was meant for has no entry
            continue
        earlier = by_episode.setdefault(episode, entry)
        if earlier != entry and not isinstance(earlier, Contradiction):
            by_episode[episode] = Contradiction(entries=[earlier, entry])
    return by_episode


def _id(entry: Any) -> int | None:
    """Read a whole number, written as such, as text or with a point and zeros behind it."""
    value = entry.get("episode_id") if isinstance(entry, dict) else None
    if isinstance(value, str):
        return int(value) if is_id(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value)


def labels(entry: Entry, num_steps: int) -> Labels:
    """Check an entry against the episode's length."""
    info = entry.get("label_info")
    listed = info.get("action_config") if isinstance(info, dict) else None
    segments, bad, lost = list[LabelSegment](), dict[int, str](), list[str]()
    seen: dict[tuple[int, int, str], int] = {}
    for index, action in enumerate(listed if isinstance(listed, list) else []):
        try:
            start, end = _frame(action, "start_frame"), _frame(action, "end_frame")
        except RecordError as error:
            bad[index] = str(error)
            continue
        text = _text(action, "action_text", lost)
        if not text:
            continue
        if not max(start, 0) < min(end, num_steps):
            span = f"[{one_line(str(start), MAX_LETTERS)}, {one_line(str(end), MAX_LETTERS)})"
            bad[index] = f"segment {index} is {span} of {num_steps} steps, expected some of them"
            continue
        start, end = max(start, 0), min(end, num_steps)
        if (first := seen.setdefault((start, end, text), index)) != index:
            bad[index] = f"segment {index} says what segment {first} says"
            continue
        segments.append(LabelSegment(index, start, end, text, _text(action, "skill", lost)))
    is_covered = np.zeros(num_steps, bool)
    for segment in segments:
        is_covered[segment.start : segment.end] = True
    return Labels(
        task_name=_text(entry, "task_name", lost),
        scene=_text(entry, "init_scene_text", lost),
        segments=segments,
        bad=bad,
        num_unlabelled=int(num_steps - is_covered.sum()),
        lost=tuple(dict.fromkeys(lost)),
    )


def texts(labels: Labels, num_steps: int) -> tuple[Text, ...]:
    """Tell what the episode was asked for as a whole, and in each of its segments."""
    own = [Text(s.start, s.end, (s.text,)) for s in labels.segments]
    return (*whole_episode([labels.task_name], num_steps), *own)


def notes(labels: Labels) -> dict[str, str]:
    """Scene and segments as notes of an episode."""
    listed = [{"start": s.start, "end": s.end, "text": s.text, "skill": s.skill} for s in labels.segments]
    bad = [*labels.bad.values()]
    texts = {
        "segments": json.dumps(listed) if listed else "",
        "segments_bad": "; ".join(
            [*bad[:MAX_LISTED], *([f"and {len(bad) - MAX_LISTED} more"] if len(bad) > MAX_LISTED else [])]
        ),
        "unlabelled_steps": str(labels.num_unlabelled) if listed else "",
        "scene": labels.scene,
        "texts_lost": "; ".join(labels.lost),
    }
    return {key: value for key, value in texts.items() if value}


def _frame(action: Any, key: str) -> int:
    value = action.get(key) if isinstance(action, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise RecordError(f"{key} is {one_line(repr(value), MAX_LETTERS)}, expected a whole number")
    return int(value)


def _text(entry: Mapping[str, Any], key: str, lost: list[str]) -> str:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        lost.append(f"{key} is {type(value).__name__}, expected a text")
    return value.strip() if isinstance(value, str) else ""
