"""What a LeRobot dataset says of an episode, and at which frames.

task_index and its like (`subtask_index`, `coarse_task_index`, `annotation.human.action.task_description`): numbers of
tasks, frame by frame; columns of strings; `language_persistent` of newer lerobot. What a column is called decides: one
whose name ends in a word of `SPEECH` says what to do, any other that points at the tasks is a flag (`quality_index`,
`annotation.human.validity`) and becomes a note, as does a task that no frame points at.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from math import ceil
from typing import Any

import pyarrow as pa

from dataengine.episode import Text, phrases_of
from dataengine.errors import RecordError, SourceError
from dataengine.formats import json_file
from dataengine.formats.lerobot import lerobot
from dataengine.formats.lerobot.entries import EpisodeEntry
from dataengine.formats.lerobot.lerobot import EXPORT, Info
from dataengine.formats.lerobot.rows import integers, structs, texts
from dataengine.texts import distinct, spans, whole_episode, without_repetition

SPEECH = frozenset(
    ("task", "subtask", "instruction", "language", "description", "goal", "skill", "caption", "prompt", "text")
)
"""Last word of the name of a column that says what to do; others say of what kind or how good something is."""
SPEECH_OF_ANNOTATIONS = SPEECH | {"action"}
"""Of a column of annotations; elsewhere an `action` is numbers."""
QUALIFIERS = frozenset(
    ("index", "raw", "original", "simple", "short", "long", "detailed", "high", "low", "level", "en", "english")
)
"""Words behind the one that counts; a `task_name` or `task_id` is for machines."""
ANNOTATION = "annotation."
COUNTERS = ("frame_index", "episode_index", "index")
"""Numbers that point at no text."""
PERSISTENT = "language_persistent"
"""Column of newer lerobot: the same list at every frame, of what is said from which second on."""
WHOLE, PARTS = "task_aug", "subtask"
"""Its styles that say what to do: paraphrases of the task, and its parts one after another."""
MODALITY = "meta/modality.json"
MAX_RUNS = 100
"""Changes of a text within an episode that its notes keep."""
MAX_LISTED = 10
"""Numbers that a note names."""
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def says_what_to_do(name: str) -> bool:
    """Tell instructions from flags by what their column is called: `language_instruction_2`, not `task_quality`."""
    known = SPEECH_OF_ANNOTATIONS if name.startswith(ANNOTATION) else SPEECH
    parts = [part for part in re.split(r"[^A-Za-z]+", CAMEL.sub("_", name.rpartition(".")[2]).lower()) if part]
    while len(parts) > 1 and parts[-1] in QUALIFIERS:
        parts.pop()
    return bool(parts) and parts[-1].removesuffix("s") in known


@dataclass(frozen=True)
class TextColumns:
    """Which columns of a dataset say something."""

    tasks: Mapping[int, str]
    """The dataset's list, by number."""
    strings: Sequence[str]
    indices: Mapping[str, Mapping[int, str]]
    """Column of numbers to the texts that they stand for."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What a column is called in meta/modality.json, where that differs."""
    persistent: bool = False
    is_export: bool = False
    """Of a corpus: the episode's list says all."""

    @classmethod
    def of(cls, info: Info) -> "TextColumns":
        """Find them by types and names, without reading a data file."""
        tasks, names = lerobot.read_tasks(info), _annotations(info)
        whole = [k for k, f in info.features.items() if f.dtype.startswith(("int", "uint")) and f.width == 1]
        pointing = [k for k in whole if k not in COUNTERS and (k.startswith(ANNOTATION) or k.endswith("_index"))]
        pointing += [key for key in names if key in whole and key not in (*pointing, *COUNTERS)]
        pointing.sort(key=lambda key: key != "task_index")
        return cls(
            tasks=tasks,
            strings=[key for key, feature in info.features.items() if feature.dtype == "string"],
            indices={key: lerobot.read_texts_of(info, key) or tasks for key in pointing},
            names=names,
            persistent=info.features[PERSISTENT].dtype == "language" if PERSISTENT in info.features else False,
            is_export=(info.root / EXPORT).is_file(),
        )

    @property
    def own(self) -> str:
        """What the dataset says beside its list of tasks, for a fingerprint; empty for most."""
        apart = {key: texts for key, texts in self.indices.items() if texts != self.tasks}
        return json.dumps([apart, self.names], sort_keys=True) if apart or self.names else ""

    @property
    def needed(self) -> list[str]:
        """Columns that `Columns.read` reads."""
        return [*self.strings, *self.indices, *([PERSISTENT, "timestamp"] if self.persistent else [])]

    def read(self, entry: EpisodeEntry, table: pa.Table, rate_hz: float) -> tuple[tuple[Text, ...], dict[str, str]]:
        """Tell what is said of an episode, and in notes what is no instruction, or could not be read."""
        notes: dict[str, str] = {}
        lost: list[str] = []
        if self.is_export:
            said = [entry.texts if entry.texts is not None else whole_episode(entry.tasks, len(table))]
        else:
            said = self._pointed(entry, table, notes, lost)
        said += self._strings(table, notes, lost)
        if self.persistent and PERSISTENT in table.column_names:
            said += _persistent(structs(table, PERSISTENT), len(table), rate_hz, notes)
        notes["texts_lost"] = "; ".join(lost)
        return without_repetition(said), {key: text for key, text in notes.items() if text}

    def _pointed(
        self, entry: EpisodeEntry, table: pa.Table, notes: dict[str, str], lost: list[str]
    ) -> list[tuple[Text, ...]]:
        """Read the columns of numbers; without any that says what to do, the episode's list of tasks does."""
        said: list[tuple[Text, ...]] = []
        flags: dict[str, list[str]] = {}
        for key, known in self.indices.items():
            if key not in table.column_names:
                continue
            try:
                numbers = integers(table, key).tolist()
            except RecordError as error:
                lost.append(str(error))
                continue
            texts = [known.get(number, "") for number in numbers]
            if not self._speaks(key):
                flags[key] = texts
                continue
            said.append(spans([text] for text in texts))
            if unknown := sorted({*numbers} - known.keys()):
                listed = ", ".join(map(str, unknown[:MAX_LISTED]))
                lost.append(f"{key} {listed}: no such text in the dataset's list")
        pointed = {phrase for texts_of in said for phrase in phrases_of(texts_of)}
        notes |= {key: _note([(t,) for t in texts]) for key, texts in flags.items() if pointed.isdisjoint(texts)}
        if not pointed:
            return [whole_episode(entry.tasks, len(table))]
        flagged = pointed.union(*flags.values())
        if unused := [task for task in entry.tasks if task not in flagged]:
            notes["tasks_left_out"] = json.dumps(unused, ensure_ascii=False)
        return said

    def _speaks(self, key: str) -> bool:
        return says_what_to_do(self.names.get(key, key))

    def _strings(self, table: pa.Table, notes: dict[str, str], lost: list[str]) -> Iterator[tuple[Text, ...]]:
        """Read columns of strings: `language_instruction` and `language_instruction_2` are paraphrases."""
        groups: dict[str, list[list[tuple[str, ...]]]] = {}
        for key in self.strings:
            values, bad = texts(table, key)
            if bad:
                lost.append(f"{key}: a text that is not UTF-8 at {len(bad)} frames, the first is {bad[0]}")
            if self._speaks(key):
                groups.setdefault(re.sub(r"[_.]?\d+$", "", key), []).append(values)
            else:
                notes[key] = _note(values)
        for together in groups.values():
            yield spans([phrase for said in frame for phrase in said] for frame in zip(*together, strict=True))


def _annotations(info: Info) -> dict[str, str]:
    """Read off GR00T's meta/modality.json which columns are annotations, and what each is about."""
    path = info.root / MODALITY
    try:
        listed = json_file.read(path).get("annotation") if path.is_file() else None
    except (OSError, ValueError, AttributeError) as error:
        raise SourceError(f"{path}: not a JSON object ({error}); copy it again, or move it away") from error
    annotations = {}
    for name, about in listed.items() if isinstance(listed, dict) else ():
        key = about.get("original_key") if isinstance(about, dict) else None
        annotations[key if isinstance(key, str) else f"{ANNOTATION}{name}"] = f"{ANNOTATION}{name}"
    return annotations


def _persistent(
    rows: Sequence[Mapping[str, Any]], num_steps: int, rate_hz: float, notes: dict[str, str]
) -> Iterator[tuple[Text, ...]]:
    """Read `language_persistent`: a part of the task holds until the next one begins; other styles become notes."""
    by_style: dict[str, list[tuple[int, str]]] = {}
    for row in rows:
        if isinstance(row.get("content"), str):
            start_s = row.get("timestamp")
            start = ceil(float(start_s) * rate_hz - 1e-3) if isinstance(start_s, int | float) else 0
            by_style.setdefault(str(row.get("style")), []).append((min(max(start, 0), num_steps), row["content"]))
    yield whole_episode((text for _, text in by_style.pop(WHOLE, [])), num_steps)
    starts: dict[int, list[str]] = {}
    for start, text in by_style.pop(PARTS, []):
        starts.setdefault(start, []).append(text)
    order = [*sorted(starts), num_steps]
    said = [(start, end, distinct(starts[start])) for start, end in pairwise(order)]
    yield tuple(Text(start, end, phrases) for start, end, phrases in said if start < end and phrases)
    for style, others in by_style.items():
        listed = [{"start": start, "text": text} for start, text in others]
        notes[f"{PERSISTENT}.{style}"] = json.dumps(listed, ensure_ascii=False) if len(listed) <= MAX_RUNS else ""


def _note(frames: Sequence[tuple[str, ...]]) -> str:
    """Keep a text that stays as it is, and one that changes as JSON."""
    runs, start = [], 0
    for phrases, group in groupby(frames):
        end = start + sum(1 for _ in group)
        runs.append({"start": start, "end": end, "text": " | ".join(phrases)})
        start = end
    if len(runs) == 1:
        return str(runs[0]["text"])
    if len(runs) > MAX_RUNS:
        return f"changes {len(runs)} times"
    return json.dumps([run for run in runs if run["text"]], ensure_ascii=False)
