"""Which episodes a LeRobot dataset lists, and where the rows and frames of each lie.

v3.0   meta/episodes/*/*.parquet: for each episode its data file, and for each camera an mp4 and the start in it
v2.x   meta/episodes.jsonl; every episode has a parquet file, and an mp4 for each camera
Files that no episode names are orphans of an aborted recording or upload: they are not read.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import inf, isfinite
from pathlib import Path
from typing import Any

from dataengine.episode import Text
from dataengine.errors import SourceError
from dataengine.formats.lerobot.lerobot import INFO, Info, fill, is_whole, num_rows, read_lines, read_table, rows_of
from dataengine.texts import from_row

EXPORTED_TEXTS = "source/texts"
"""Column of our own exports: `schema.TEXTS`."""
EXPORTED_NOTES, EXPORTED_LICENCE = "source/notes", "source/licence"
"""Others: JSON of the episode's notes in the corpus that it was exported from, and its licence."""
MOST = 2**31
"""No index and no length of an episode reaches this."""
STALE, STALE_MORE = 2, 1000
"""How many times the episodes of info.json, and more, may be listed: people append and forget that number."""
MAX_EPISODES = 2**20
"""AgiBot World, the largest known, has a million; each takes about 1 kB while work is planned, whatever its bytes."""


@dataclass(frozen=True)
class VideoSpan:
    """Where an episode's frames lie in a video."""

    file: str
    """Below the root."""
    start_s: float
    is_alone: bool = field(default=False, repr=False)  # what is not shown here is no part of fingerprints
    """Whether the whole file is this episode."""
    stop_s: float = field(default=inf, repr=False)
    """Where they end at the latest, which is where the next episode begins."""
    counted: tuple[int, int] | None = field(default=None, repr=False)
    """Number of its first frame in the file, and how many frames all its episodes need."""


@dataclass(frozen=True)
class EpisodeEntry:
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
    videos: Mapping[str, VideoSpan] = field(default_factory=dict)
    problem: str = ""
    """Why it cannot be read; empty when it can."""
    notes: str = field(default="", repr=False)
    """What our own export says that the corpus noted, as JSON."""
    licence: str = field(default="", repr=False)
    """And its licence."""


def read_entries(info: Info) -> list[EpisodeEntry]:
    """List every episode in the order of the metadata; one that is damaged or listed twice carries its problem."""
    entries = _beside(list(_v3_entries(info)), info.rate_hz) if info.is_v3 else list(_v2_entries(info))
    times = Counter(entry.record for entry in entries)
    seen: set[str] = set()
    for i, entry in enumerate(entries):
        if entry.record in seen:
            entries[i] = EpisodeEntry(
                f"{entry.record} again ({i})", problem=f"episode {entry.record} is listed {times[entry.record]} times"
            )
        seen.add(entry.record)
    return entries


def _v2_entries(info: Info) -> Iterator[EpisodeEntry]:
    path = info.root / "meta/episodes.jsonl"
    if not path.is_file():
        raise SourceError(f"{info.root}: found no meta/episodes.jsonl, expected it in {info.version}; download it")
    videos = [key for key, feature in info.features.items() if feature.dtype == "video"]
    for count, (number, line, problem) in enumerate(read_lines(path), 1):
        _check_count(info, path, count)
        try:
            if problem:
                raise ValueError(problem)
            index, length = _count(line, "episode_index"), _count(line, "length")
            where = {"episode_chunk": index // info.chunks_size, "episode_index": index}
            yield EpisodeEntry(
                record=str(index),
                index=index,
                length=length,
                tasks=_texts(line.get("tasks")),
                data_file=fill(info.data_path, where),
                videos={
                    key: VideoSpan(fill(info.video_path, where | {"video_key": key}), 0.0, is_alone=True)
                    for key in videos
                },
            )
        except ValueError as error:
            yield EpisodeEntry(record=f"meta/episodes.jsonl:{number}", problem=f"line {number}: {error}")


def _v3_entries(info: Info) -> Iterator[EpisodeEntry]:
    folder = info.root / "meta/episodes"
    paths = sorted(folder.glob("*/*.parquet"), key=str)
    if not paths:
        raise SourceError(f"{folder}: found no parquet file, expected them in {info.version}; download them")
    videos = [key for key, feature in info.features.items() if feature.dtype == "video"]
    count = 0
    for path in paths:
        count += num_rows(path)
        _check_count(info, path, count)
        name = path.relative_to(info.root).as_posix()
        wanted = (
            "episode_index",
            "tasks",
            "length",
            "data/",
            "dataset_",
            *(EXPORTED_TEXTS, EXPORTED_NOTES, EXPORTED_LICENCE),
            *(f"videos/{key}/" for key in videos),
        )
        try:
            lines_of_file = rows_of(path, read_table(path, wanted))
        except SourceError as error:
            yield EpisodeEntry(record=name, problem=f"{name}: {str(error).removeprefix(f'{path}: ')}")
            continue
        for row, line in enumerate(lines_of_file):
            try:
                yield _v3_entry(info, line, videos)
            except ValueError as error:
                yield EpisodeEntry(record=f"{name}:{row}", problem=f"{name}, row {row}: {error}")


def _check_count(info: Info, path: Path, count: int) -> None:
    """Stop where files of the metadata list more episodes than there can be: a few bytes may stand for millions."""
    if info.num_episodes is not None and count > STALE * info.num_episodes + STALE_MORE:
        raise SourceError(
            f"{path}: up to here {count} episodes are listed, expected {info.num_episodes} by total_episodes "
            f"of {INFO}; copy both again, or correct that number"
        )
    if count > MAX_EPISODES:
        raise SourceError(
            f"{path}: up to here {count} episodes are listed, expected {MAX_EPISODES} at most; split the dataset"
        )


def _v3_entry(info: Info, line: Mapping[str, Any], videos: Iterable[str]) -> EpisodeEntry:
    index = _count(line, "episode_index")
    where = {"chunk_index": _count(line, "data/chunk_index"), "file_index": _count(line, "data/file_index")}
    first, stop = (_rows(line, f"dataset_{end}_index") for end in ("from", "to"))
    spans = {}
    for key in videos:
        prefix, start_s = f"videos/{key}", line.get(f"videos/{key}/from_timestamp")
        numbers = {name: _count(line, f"{prefix}/{name}") for name in ("chunk_index", "file_index")}
        if not isinstance(start_s, int | float) or not isfinite(start_s):
            raise ValueError(f"{prefix}/from_timestamp is {start_s!r}, expected seconds")
        stop_s = line.get(f"{prefix}/to_timestamp")
        stop_s = float(stop_s) if isinstance(stop_s, int | float) else inf
        spans[key] = VideoSpan(fill(info.video_path, numbers | {"video_key": key}), float(start_s), stop_s=stop_s)
    return EpisodeEntry(
        record=str(index),
        index=index,
        length=_count(line, "length"),
        tasks=_texts(line.get("tasks")),
        texts=_exported(line.get(EXPORTED_TEXTS)),
        data_file=fill(info.data_path, where),
        rows=None if first is None or stop is None else (first, stop),
        videos=spans,
        notes=_text(line.get(EXPORTED_NOTES)),
        licence=_text(line.get(EXPORTED_LICENCE)),
    )


def _beside(entries: list[EpisodeEntry], rate_hz: float) -> list[EpisodeEntry]:
    """Bound the spans of episodes that share a video by each other, and count the frames before them.

    Some write as the end of an episode the time of its last row: a span has room for all of its rows, up to the next.
    """
    shared: dict[str, list[tuple[float, int, str]]] = {}
    for i, entry in enumerate(entries):
        for key, span in entry.videos.items():
            shared.setdefault(span.file, []).append((span.start_s, i, key))
    for members in shared.values():
        members.sort()
        firsts = list(accumulate((entries[i].length for _, i, _ in members), initial=0))
        starts = [start_s for start_s, _, _ in members]
        in_order = len(set(starts)) == len(starts)
        for position, (start_s, i, key) in enumerate(members):
            entry = entries[i]
            own_s = max(entry.videos[key].stop_s, start_s + entry.length / rate_hz)
            stop_s = min([own_s, *starts[position + 1 : position + 2]])
            counted = (firsts[position], firsts[-1]) if in_order else None
            span = replace(entry.videos[key], stop_s=stop_s, counted=counted)
            entries[i] = replace(entry, videos={**entry.videos, key: span})
    return entries


def _exported(value: Any) -> tuple[Text, ...] | None:
    """Read the texts of our own export; None where it has none."""
    if value is None:
        return None
    try:
        texts = from_row(value, (), 0)
    except (LookupError, TypeError) as error:
        raise ValueError(f"{EXPORTED_TEXTS} is {value!r:.80}, expected texts with start, end and phrases") from error
    for text in texts:
        if not isinstance(text.start, int) or not isinstance(text.end, int) or not all(map(_is_text, text.phrases)):
            raise ValueError(f"{EXPORTED_TEXTS} has {text!r:.80}, expected whole numbers and phrases")
    return texts


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(line: Any, key: str) -> int:
    value = line.get(key) if isinstance(line, dict) else None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MOST:
        raise ValueError(f"{key} is {value!r:.80}, expected a whole number")
    return value


def _rows(line: Mapping[str, Any], key: str) -> int | None:
    """Read the number of a row of the whole dataset; None where there is none."""
    value = line.get(key)
    if value is not None and not is_whole(value):
        raise ValueError(f"{key} is {value!r:.80}, expected a whole number")
    return None if value is None else int(value)


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(text.strip() for text in values if isinstance(text, str) and text.strip()))
