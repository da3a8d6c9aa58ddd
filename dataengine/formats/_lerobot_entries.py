"""Which episodes a LeRobot dataset lists, and where the rows and frames of each lie.

v3.0   meta/episodes/*/*.parquet: for each episode its data file, and for each camera an mp4 and the start in it
v2.x   meta/episodes.jsonl; every episode has a parquet file, and an mp4 for each camera
Files that no episode names are orphans of an aborted recording or upload: they are not read.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dataengine.episode import Text
from dataengine.errors import SourceError
from dataengine.formats import json_file
from dataengine.formats.lerobot import Info, fill, read_table
from dataengine.texts import from_row

EXPORTED_TEXTS = "source/texts"
"""Column of our own exports: `schema.TEXTS`."""
MOST = 2**31
"""No index and no length of an episode reaches this."""


@dataclass(frozen=True)
class Span:
    """Where an episode's frames begin in a video."""

    file: str
    """Below the root."""
    start_s: float


@dataclass(frozen=True)
class Entry:
    """One episode as the metadata lists it."""

    record: str
    """Its number, or the line that does not parse."""
    index: int = -1
    length: int = 0
    tasks: tuple[str, ...] = ()
    texts: tuple[Text, ...] | None = None
    """What our own export says beside the tasks: which of them holds when."""
    data_file: str = ""
    """Below the root."""
    rows: tuple[int, int] | None = None
    """Values of the column `index`, from and to, where a file holds several episodes."""
    videos: Mapping[str, Span] = field(default_factory=dict)
    problem: str = ""
    """Why it cannot be read; empty when it can."""


def read_entries(info: Info) -> list[Entry]:
    """List every episode in the order of the metadata; one that is damaged or listed twice carries its problem."""
    entries = list(_v3_entries(info) if info.is_v3 else _v2_entries(info))
    times = Counter(entry.record for entry in entries)
    seen: set[str] = set()
    for i, entry in enumerate(entries):
        if entry.record in seen:
            entries[i] = Entry(
                f"{entry.record} again ({i})", problem=f"episode {entry.record} is listed {times[entry.record]} times"
            )
        seen.add(entry.record)
    return entries


def _v2_entries(info: Info) -> Iterator[Entry]:
    place = info.root / "meta/episodes.jsonl"
    if not place.is_file():
        raise SourceError(f"{info.root}: found no meta/episodes.jsonl, expected it in {info.version}; download it")
    videos = [key for key, feature in info.features.items() if feature.dtype == "video"]
    for number, line, problem in json_file.lines(place):
        try:
            if problem:
                raise ValueError(problem)
            index, length = _count(line, "episode_index"), _count(line, "length")
            where = {"episode_chunk": index // info.chunks_size, "episode_index": index}
            yield Entry(
                record=str(index),
                index=index,
                length=length,
                tasks=_texts(line.get("tasks")),
                data_file=fill(info.data_path, where),
                videos={key: Span(fill(info.video_path, where | {"video_key": key}), 0.0) for key in videos},
            )
        except ValueError as error:
            yield Entry(record=f"meta/episodes.jsonl:{number}", problem=f"line {number}: {error}")


def _v3_entries(info: Info) -> Iterator[Entry]:
    place = info.root / "meta/episodes"
    paths = sorted(place.glob("*/*.parquet"), key=str)
    if not paths:
        raise SourceError(f"{place}: found no parquet file, expected them in {info.version}; download them")
    videos = [key for key, feature in info.features.items() if feature.dtype == "video"]
    for path in paths:
        name = path.relative_to(info.root).as_posix()
        wanted = (
            "episode_index",
            "tasks",
            "length",
            "data/",
            "dataset_",
            EXPORTED_TEXTS,
            *(f"videos/{key}/" for key in videos),
        )
        try:
            lines_of_file = read_table(path, wanted).to_pylist()
        except SourceError:
            yield Entry(record=name, problem=f"{name}: not a readable parquet file; copy it again")
            continue
        for row, line in enumerate(lines_of_file):
            try:
                yield _v3_entry(info, line, videos)
            except ValueError as error:
                yield Entry(record=f"{name}:{row}", problem=f"{name}, row {row}: {error}")


def _v3_entry(info: Info, line: Mapping[str, Any], videos: Iterable[str]) -> Entry:
    index = _count(line, "episode_index")
    where = {"chunk_index": _count(line, "data/chunk_index"), "file_index": _count(line, "data/file_index")}
    first, stop = line.get("dataset_from_index"), line.get("dataset_to_index")
    spans = {}
    for key in videos:
        prefix, start_s = f"videos/{key}", line.get(f"videos/{key}/from_timestamp")
        place = {name: _count(line, f"{prefix}/{name}") for name in ("chunk_index", "file_index")}
        if not isinstance(start_s, int | float):
            raise ValueError(f"{prefix}/from_timestamp is {start_s!r}, expected seconds")
        spans[key] = Span(fill(info.video_path, place | {"video_key": key}), float(start_s))
    return Entry(
        record=str(index),
        index=index,
        length=_count(line, "length"),
        tasks=_texts(line.get("tasks")),
        texts=from_row(line[EXPORTED_TEXTS], (), 0) if line.get(EXPORTED_TEXTS) is not None else None,
        data_file=fill(info.data_path, where),
        rows=None if first is None or stop is None else (int(first), int(stop)),
        videos=spans,
    )


def _count(line: Any, key: str) -> int:
    value = line.get(key) if isinstance(line, dict) else None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MOST:
        raise ValueError(f"{key} is {value!r:.80}, expected a whole number")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    found = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(text.strip() for text in found if isinstance(text, str) and text.strip()))
