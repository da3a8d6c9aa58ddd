"""LeRobot datasets v2.0, v2.1 and v3.0 on disk: what info.json declares, and where files may lie.

A hub cache (`datasets--<org>--<name>/snapshots/<revision>`, links into `blobs`) is read as it lies. Statistics of the
dataset are not read: they may be missing. `entries.py` lists episodes, `rows.py` reads their numbers,
`reel.py` their frames.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from dataengine.config import MOST_HZ
from dataengine.errors import RecordError, SourceError
from dataengine.formats import files, json_file, parquet
from dataengine.reading import one_line
from dataengine.storage import is_uri

INFO = "meta/info.json"
EXPORT = "meta/villa.json"
"""What our own exports tell beside; nobody else needs it."""
VERSIONS = ("v2.0", "v2.1", "v3.0")
EXPECTED = f"a LeRobot dataset with {INFO}"
NUMBERS = ("float", "int", "uint", "bool")
"""What names of numeric dtypes start with."""
PLACEHOLDER = re.compile(r"\{(\w+)(?::0?(\d{1,2})d)?\}")
MAX_REF = 4096
LEAST_HZ = 0.01
MAX_FEATURES = 1000
MAX_WIDTH = 2**24
"""Numbers in a row of a column: a map of distances of 4,000 times 4,000."""
MAX_DIMS = 16
MAX_LETTERS = 255
"""Of the name of a robot, a column, a value of it, a split: a name of a file has no more."""
MAX_TEXT = 2**16
"""Of what an export says: names of all values of a column."""
MAX_PATH = 1000
"""Letters of a template: a path of it is kept for every episode."""
MAX_DIGITS = 18
CHUNK = 1000
"""Episodes in a folder of v2.x where info.json does not say."""


@dataclass(frozen=True)
class Feature:
    """One declared column, or camera."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()
    """Of its values, however they were nested; empty where there are none."""
    group: str = ""
    """Key that the names lay under, such as `motors`."""
    is_depth: bool = False

    @property
    def is_numeric(self) -> bool:
        """Tell numbers and flags from texts and pictures."""
        return self.dtype.startswith(NUMBERS)

    @property
    def is_camera(self) -> bool:
        """Tell pictures, in a video or each by itself, from the rest."""
        return self.dtype in ("video", "image")

    @property
    def width(self) -> int:
        """Values in a row."""
        return prod(self.shape)


@dataclass(frozen=True)
class Info:
    """What `meta/info.json` says."""

    root: Path
    version: str
    robot_type: str
    rate_hz: float
    features: Mapping[str, Feature]
    data_path: str
    video_path: str
    chunks_size: int
    splits: Mapping[str, tuple[int, int]]
    """First episode of each, and the one behind its last."""
    num_episodes: int | None = None
    """How many episodes it says that there are; None where it does not say."""

    @property
    def is_v3(self) -> bool:
        """Tell the layout of many episodes in a file from that of one."""
        return self.version == "v3.0"

    def split(self, index: int) -> str:
        """Name the split that an episode belongs to: `train` unless a range says otherwise."""
        return next((name for name, (first, stop) in self.splits.items() if first <= index < stop), "train")


def find_root(root: str | Path) -> Path:
    """Return the folder that holds `meta`, in a hub cache that of its revision, or say what is there instead."""
    if is_uri(root):
        raise SourceError(f"{root}: LeRobot datasets are read from a disk; download it and pass the folder")
    folder = files.folder(root, EXPECTED)
    if (folder / INFO).is_file():
        return folder
    snapshots = folder if folder.name == "snapshots" else folder / "snapshots"
    if snapshots.is_dir():
        return _snapshot(snapshots)
    if (folder / "info.json").is_file() and folder.name == "meta":
        raise SourceError(f"{folder}: one level too low; pass {folder.parent}")
    deeper = sorted(path.parent.parent for pattern in ("*", "*/*") for path in folder.glob(f"{pattern}/{INFO}"))
    if deeper:
        others = f" or one of {len(deeper) - 1} more" if len(deeper) > 1 else ""
        raise SourceError(f"{folder}: found no {INFO}; pass {deeper[0]}{others}")
    raise SourceError(f"{folder}: found no {INFO}, expected {EXPECTED}; check the path")


def _snapshot(snapshots: Path) -> Path:
    """Choose the revision that `refs/main` names, or the only one that there is."""
    there = sorted(path.name for path in snapshots.iterdir() if (path / INFO).is_file())
    ref = snapshots.parent / "refs" / "main"
    main = files.read_bytes(ref, MAX_REF).decode("utf-8", "replace").strip() if ref.is_file() else ""
    if main in there:
        return snapshots / main
    if len(there) != 1:
        revisions = f"{len(there)} revisions ({', '.join(there)})" if there else f"no revision with {INFO}"
        raise SourceError(f"{snapshots}: found {revisions}, expected one; pass the folder of one revision")
    return snapshots / there[0]


def read_info(root: Path) -> Info:
    """Read `meta/info.json`; all hangs on it, so damage stops the command."""
    folder = root / INFO
    files.inside_or_stop(root, INFO, *(str(path.relative_to(root)) for path in _metadata(root)))
    for path in _metadata(root):
        files.no_pipe_or_stop(path)
    raw = _json(folder)
    version = str(raw.get("codebase_version"))
    if version not in VERSIONS:
        raise SourceError(
            f"{folder}: found codebase_version {version:.80}, expected one of {', '.join(VERSIONS)}; "
            "convert it with lerobot's own scripts"
        )
    if raw.get("storage_format") not in (None, "parquet"):
        raise SourceError(
            f"{folder}: found storage_format {raw['storage_format']!r:.80}, expected parquet files and mp4"
        )
    rate_hz, declared = raw.get("fps"), raw.get("features")
    if not isinstance(rate_hz, int | float) or isinstance(rate_hz, bool) or not LEAST_HZ <= rate_hz <= MOST_HZ:
        raise SourceError(f"{folder}: found fps {rate_hz!r:.80}, expected a number from {LEAST_HZ} to {MOST_HZ:g}")
    if not isinstance(declared, dict) or not all(isinstance(about, dict) for about in declared.values()):
        raise SourceError(f"{folder}: found no features, expected an object of them")
    if len(declared) > MAX_FEATURES:
        raise SourceError(f"{folder}: found {len(declared)} features, expected {MAX_FEATURES} at most")
    chunks_size, num_episodes = raw.get("chunks_size", CHUNK), raw.get("total_episodes")
    if type(chunks_size) is not int or chunks_size < 1:
        raise SourceError(f"{folder}: found chunks_size {chunks_size!r:.80}, expected a positive whole number")
    info = Info(
        root=root,
        version=version,
        robot_type=_name(folder, "robot_type", str(raw.get("robot_type") or "")),
        rate_hz=float(rate_hz),
        features={key: _feature(folder, key, about) for key, about in declared.items()},
        data_path=str(raw.get("data_path") or ""),
        video_path=str(raw.get("video_path") or ""),
        chunks_size=chunks_size,
        splits=_splits(folder, raw.get("splits")),
        num_episodes=num_episodes if type(num_episodes) is int and num_episodes > 0 else None,
    )
    _check_paths(info, folder)
    return info


def _name(path: Path, what: str, name: str, most: int = MAX_LETTERS) -> str:
    """Return a name; raise SourceError when it is longer than any: it would be copied to every episode."""
    if len(name) > most:
        raise SourceError(f"{path}: found {what} '{name:.20} ...' of {len(name)} letters, expected {most} at most")
    return name


def _splits(path: Path, said: Any) -> dict[str, tuple[int, int]]:
    """Read ranges of episodes, `0:50`; what is written in another way is none."""
    ranges = {}
    for name, text in said.items() if isinstance(said, dict) else ():
        first, _, stop = str(text).partition(":")
        if first.isdecimal() and stop.isdecimal():
            if max(len(first), len(stop)) > MAX_DIGITS:
                raise SourceError(f"{path}: found split '{text:.80}', expected numbers of episodes such as 0:50")
            ranges[_name(path, "a split", name)] = (int(first), int(stop))
    return ranges


def _metadata(root: Path) -> list[Path]:
    """List what may be read of the dataset beside info.json and the recordings."""
    patterns = ("meta/*.json*", "meta/*.parquet", "meta/episodes/*/*.parquet", "README.md")
    return [path for pattern in patterns for path in root.glob(pattern)]


def read_export(root: Path) -> dict[str, str]:
    """Read what our own export says of a dataset: its embodiment and encodings; empty for datasets of others."""
    path = root / EXPORT
    said = _json(path) if path.is_file() else {}
    texts = {key: value for key, value in said.items() if isinstance(value, str)}
    for key, value in texts.items():
        _name(path, f"a text '{key:.80}'", value, MAX_LETTERS if key == "embodiment" else MAX_TEXT)
    return texts


def read_tasks(info: Info) -> dict[int, str]:
    """Tell the text of each task by its number; empty where the file is missing, for episodes mostly carry theirs."""
    return read_texts_of(info, "task_index")


def read_texts_of(info: Info, column: str) -> dict[int, str]:
    """Tell the texts that a column of numbers has of its own, `subtask_index` those of meta/subtasks; or none."""
    word, by_number = column.removesuffix("_index"), dict[int, str]()
    path = info.root / "meta" / (f"{word}s.parquet" if info.is_v3 else f"{word}s.jsonl")
    if not is_below(path.relative_to(info.root).as_posix()) or files.size(path) is None:
        return by_number
    if not info.is_v3:
        for _, line, _ in read_lines(path):
            if isinstance(line, dict) and isinstance(line.get(column), int) and isinstance(line.get(word), str):
                by_number[line[column]] = line[word]
        return by_number
    table = read_table(path)
    texts = next((name for name in (word, "__index_level_0__") if name in table.column_names), None)
    if texts is None or column not in table.column_names:
        raise SourceError(f"{path}: found columns {', '.join(table.column_names)}, expected {column} and the text")
    for row, line in enumerate(rows_of(path, table.select([column, texts]))):
        number, text = line.values()
        if number is None or text is None:
            continue
        if not is_whole(number) or not isinstance(text, str):
            raise SourceError(f"{path}: row {row} is {line!r:.120}, expected a whole number and a text; copy it again")
        by_number[int(number)] = text
    return by_number


def is_whole(value: Any) -> bool:
    """Tell a whole number, also as pandas writes those of a column with gaps."""
    return type(value) is int or (isinstance(value, float) and value.is_integer())


def rows_of(path: Path, table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of a table; raise SourceError where one holds what Python has no value for."""
    try:
        return list(table.to_pylist())
    except (ArithmeticError, ValueError) as error:  # a text that is not UTF-8, a time beyond all years
        raise SourceError(f"{path}: a value cannot be read ({one_line(str(error), 200)}); copy it again") from error


def _feature(path: Path, key: str, about: Mapping[str, Any]) -> Feature:
    shape = about.get("shape")
    if isinstance(shape, int):
        shape = [shape]
    if not isinstance(shape, list) or not all(isinstance(size, int) and size > 0 for size in shape):
        raise SourceError(f"{path}: feature '{key:.80}' has shape {shape!r:.80}, expected a list of sizes")
    if len(shape) > MAX_DIMS or max(shape, default=1) > MAX_WIDTH or prod(shape) > MAX_WIDTH:
        raise SourceError(f"{path}: feature '{key:.80}' has shape {shape!r:.80}, expected {MAX_WIDTH} values at most")
    names, group = about.get("names"), ""
    if isinstance(names, dict):
        groups = list(names)
        if all(isinstance(value, int) for value in names.values()):  # {"delta_x": 0, "delta_y": 1}
            names = sorted(names, key=names.__getitem__)
        else:  # {"motors": [...]}
            group = " ".join(groups)
            names = [name for value in names.values() for name in (value if isinstance(value, list) else [value])]
    video = about.get("info") or about.get("video_info") or {}
    marks = [video.get(mark) for mark in ("video.is_depth_map", "is_depth_map")] if isinstance(video, dict) else []
    return Feature(
        key=_name(path, "a feature", key),
        dtype=_name(path, "a dtype", str(about.get("dtype"))),
        shape=tuple(shape),
        names=tuple(_name(path, "a value", str(name)) for name in names) if isinstance(names, list) else (),
        group=group[:MAX_LETTERS],
        is_depth=any(marks) or "depth" in key.lower(),
    )


def _check_paths(info: Info, path: Path) -> None:
    """Refuse templates that lead out of the dataset, and keys that would."""
    for key in info.features:
        if "/" in key or "\\" in key or key in ("", ".", ".."):
            raise SourceError(f"{path}: found a feature named '{key}', expected a plain name")
    templates = {"data_path": info.data_path}
    if any(feature.dtype == "video" for feature in info.features.values()):
        templates["video_path"] = info.video_path
    for name, template in templates.items():
        known = {"chunk_index", "file_index"} if info.is_v3 else {"episode_chunk", "episode_index"}
        named = {match[1] for match in PLACEHOLDER.finditer(template)}
        if len(template) > MAX_PATH:
            raise SourceError(f"{path}: found {name} of {len(template)} letters, expected {MAX_PATH} at most")
        if not template or named - known - {"video_key"} or "{" in PLACEHOLDER.sub("", template):
            raise SourceError(f"{path}: found {name} '{template}', expected one with {', '.join(sorted(known))}")
        if not is_below(template):
            raise SourceError(f"{path}: {name} '{template}' leads out of the dataset; it is not read")


def is_below(path: str) -> bool:
    """Tell whether a path of the metadata stays in the dataset's folder, links (a hub cache is made of them) aside."""
    pure = PurePosixPath(path.replace("\\", "/"))
    return not pure.is_absolute() and ".." not in pure.parts and ":" not in path.partition("/")[0]


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Put numbers and names into a path of info.json; nothing else of Python's format language is obeyed."""

    def value(match: re.Match[str]) -> str:
        number = values[match[1]]
        return f"{number:0{match[2]}d}" if match[2] else str(number)

    return PLACEHOLDER.sub(value, template)


def _json(path: Path) -> dict[str, Any]:
    try:
        return json_file.as_object(json_file.read(path))
    except json_file.JsonError as error:
        raise SourceError(f"{path}: {error}; copy it again") from error


def read_lines(path: Path) -> Iterator[tuple[int, Any, str]]:
    """Yield what `json_file.lines` does; raise SourceError where a file is none, or larger than any of metadata."""
    try:
        yield from json_file.lines(path)
    except json_file.JsonError as error:
        raise SourceError(f"{path}: {error}; copy it again") from error


def read_table(path: Path, prefixes: tuple[str, ...] | None = None) -> pa.Table:
    """Read a small parquet file of the metadata: all columns, or those whose names start so."""
    try:
        with parquet.ParquetFile(path) as file:
            if file.num_rows > json_file.MAX_LINES:
                raise RecordError(f"has {file.num_rows} rows, expected {json_file.MAX_LINES} at most")
            return file.read([name for name in file.names if prefixes is None or name.startswith(prefixes)])
    except RecordError as error:
        raise SourceError(f"{path}: {error}") from error


def num_rows(path: Path) -> int:
    """Tell how many rows a parquet file of the metadata claims to have, by its footer; 0 where it cannot be read."""
    try:
        with parquet.ParquetFile(path) as file:
            return file.num_rows
    except RecordError:
        return 0  # who reads it will be told why


def safe_file(info: Info, file: str) -> Path:
    """Place of a file that the dataset names; raise RecordError when the name leads out of it or nothing is there."""
    if not is_below(file):
        raise RecordError(f"'{file}' leads out of the dataset")
    if files.size(info.root / file) is None:
        raise RecordError(f"{file} is missing")
    return files.inside(info.root / file, info.root)
