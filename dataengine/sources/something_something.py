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

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dataengine.episode import Episode, Kind, Part, Reject, plain_name
from dataengine.errors import RecordError, SourceError
from dataengine.formats import files, json_file
from dataengine.formats.video import video
from dataengine.framing import Fit
from dataengine.sources._parts import episode_or_reject, grouped
from dataengine.texts import whole_episode

VIDEOS = "20bn-something-something-v2"
SPLITS = {"train": "train", "validation": "val"}
"""Name of the JSON file to name of the split."""
LONGEST_ID = 60
EXPECTED = f"a folder with {VIDEOS}/<id>.webm, train.json and validation.json"


@dataclass(frozen=True)
class SomethingSomething:
    """Human clips; a part is a batch of clips of one split."""

    root: str
    """The folder that holds `20bn-something-something-v2` and the JSON files."""
    _: KW_ONLY
    frame_size: int = 256
    fit: Fit = "squash"
    frame_hz: float = 10.0

    name: ClassVar[str] = "something_something"
    kind: ClassVar[Kind] = "human"
    embodiment: ClassVar[str] = "human_hand"
    other_embodiments: ClassVar[tuple[str, ...]] = ()
    control_hz: ClassVar[float] = 10.0
    """After resampling, at the default `frame_hz`."""
    layout: ClassVar[str] = "VP9 webm and JSON labels"
    licence: ClassVar[str] = "Something-Something V2 research licence, no redistribution"

    def parts(self) -> list[Part]:
        """Group the labelled clips of each split by size; no video is opened."""
        root = self._folder()
        parts = []
        for split, entries in _entries(root).items():
            sizes = ((i, _size(root, entry)) for i, entry in enumerate(entries))
            for batch, num_bytes in grouped(sizes):
                members = entries[batch[0] : batch[-1] + 1]
                parts.append(
                    Part(
                        dataset=self.name,
                        name=plain_name(f"{split}/{members[0].get('id')}"),
                        uri=str(root / VIDEOS),
                        num_bytes=num_bytes,
                        fingerprint=_fingerprint(root, members),
                        options={"split": split, "start": str(batch[0]), "stop": str(batch[-1] + 1)},
                    )
                )
        return parts

    def fingerprint(self, part: Part) -> str:
        """Look at a part's clips and labels as they are now."""
        root = self._folder()
        entries = _entries(root).get(part.options["split"], [])
        return _fingerprint(root, entries[int(part.options["start"]) : int(part.options["stop"])])

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        """Decode the part's clips in order of their ids."""
        entries = _entries(self._folder())[part.options["split"]]
        for i in range(int(part.options["start"]), int(part.options["stop"])):
            entry = entries[i]
            record = str(entry.get("id") or f"entry {i}")
            yield episode_or_reject(part, record, "", self._episode, part, record, entry)

    def _episode(self, part: Part, record: str, entry: dict[str, Any]) -> Episode:
        path = _video(Path(self.root), entry)
        if path is None:
            raise RecordError(f"id '{entry.get('id')!s:.80}' is no plain name of a video; check the JSON file")
        label = entry.get("label")
        if not isinstance(label, str) or not label.strip():
            raise RecordError("the entry has no label")
        clip = video.decode(files.inside(path, Path(self.root)), self.frame_size, self.frame_hz, how=self.fit)
        num_steps = len(clip.frames.jpegs)
        template = str(entry.get("template", "")).replace("[", "").replace("]", "")
        return Episode(
            dataset=self.name,
            source_record=record,
            source_uri=str(path),
            embodiment=self.embodiment,
            kind=self.kind,
            control_hz=clip.rate_hz,
            texts=whole_episode([label], num_steps),
            time_ns=np.round(np.arange(num_steps) * 1e9 / clip.rate_hz).astype(np.int64),
            cameras={"primary": clip.frames},
            split=part.options["split"],
            licence=self.licence,
            notes={"template": template} if template else {},
        )

    def _folder(self) -> Path:
        """Return the root, or say in one line what it is instead."""
        folder = files.folder(self.root, EXPECTED)
        if (folder / VIDEOS).is_dir():
            return folder
        if folder.name == VIDEOS or next(folder.glob("*.webm"), None):
            raise SourceError(f"{folder}: one level too low; pass {folder.parent}")
        deeper = next((path.parent for path in folder.glob(f"*/{VIDEOS}") if path.is_dir()), None)
        if deeper:
            raise SourceError(f"{folder}: one level too high; pass {deeper}")
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


def _fingerprint(folder: Path, members: list[dict[str, Any]]) -> str:
    labels = (f"{entry.get('id')} {entry.get('label')}" for entry in members)
    paths = [path for entry in members if (path := _video(folder, entry))]
    return files.fingerprint_of_sizes(paths, *labels)


def _size(folder: Path, entry: dict[str, Any]) -> int:
    path = _video(folder, entry)
    return (files.size(path) or 0) if path else 0


def _video(path: Path, entry: dict[str, Any]) -> Path | None:
    """Where an entry's clip lies; None for an id that would leave the folder, or that no file can be called."""
    name = str(entry.get("id", ""))
    return path / VIDEOS / f"{name}.webm" if name.isalnum() and len(name) <= LONGEST_ID else None


def _load(path: Path) -> list[dict[str, Any]]:
    """Read one JSON file of entries; all of its clips hang on it, so damage stops the command."""
    try:
        entries = json_file.read(path)
    except json_file.JsonError as error:
        raise SourceError(f"{path}: {error}; copy it again") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SourceError(f"{path}: found {type(entries).__name__}, expected a list of entries with id and label")
    return entries
