"""What a folder of shards says about itself, read as untrusted: manifest and indexes come out whole, or a named error.

Both carry checksums. In folders of version 2, which have those of the tars alone, only what they say can be checked.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dataengine.config import MOST_SIDE
from dataengine.errors import DataEngineError, RecordError
from dataengine.formats import files, json_file
from dataengine.formats.parquet import ParquetFile
from dataengine.reading import explain, is_of_the_machine, one_line
from dataengine.schema import TEXTS
from dataengine.windows.episode_info import DataIdentity
from dataengine.windows.stats import EmbodimentStatistics
from dataengine.windows.window import LatentInfo

MANIFEST, PLAN = "manifest.json", "plan.json"
LOCK = ".villa-lock"
"""Held by whoever writes a folder on a disk; it says nothing about what the folder holds."""
FORMAT, VERSION, WITH_HANDS, WITH_CODEBOOKS, WITH_FRAME_SIDE = "villa-shards", 3, 4, 5, 6
READABLE = (2, VERSION, WITH_HANDS, WITH_CODEBOOKS, WITH_FRAME_SIDE)
"""Versions that are read: in 2 an episode's texts all hold for the whole of it, and only tars have checksums. 4 is 3
with what people's hands felt, 5 has codebooks in place of latent vectors, 6 frames of the size of training; shards
without any of it are written as 3."""
CHECKSUM = "checksum"
"""Key of the manifest that holds the hash of all others."""
MAX_BYTES = 2**30
"""Of a manifest, a line of 400 bytes for each shard; no index of a shard has as many."""
MOST_STEPS = 2**31 - 1
"""Of an episode: two years at 30 Hz."""
ADVICE = "copy the folder again, or delete it and run `villa shard`"

INDEX: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("key", "episode_id", "dataset", "embodiment", "kind", "split")),
        *(pa.field(name, pa.int64()) for name in ("dataset_id", "embodiment_id", "num_steps", "first", "count")),
        pa.field("control_hz", pa.float64()),
        *(pa.field(name, pa.list_(pa.string())) for name in ("instruction", "cameras", "members")),
        pa.field("texts", TEXTS),
        *(pa.field(name, pa.list_(pa.int64())) for name in ("offsets", "sizes")),
    ]
)
"""Columns of a shard's index: one row for each sample, where each of its files begins and how long it is."""

GROUP: Final = pa.field("split_group", pa.string())
"""One more, in shards with episodes that belong to one: others stay as they were before there were groups."""


class DamagedShardsError(DataEngineError):
    """A file of a folder of shards is not as it was written."""

    def __init__(self, path: Path | str, what: str) -> None:
        super().__init__(f"{path}: {what}; {ADVICE}")
        self.path, self.what = Path(path), what


_Sha256 = Field(pattern=r"^[0-9a-f]{64}$")


class ShardEntry(BaseModel):
    """One shard."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^shard-\d{6,}\.tar$")
    num_bytes: int = Field(ge=0)
    sha256: str = _Sha256
    num_samples: int = Field(ge=0)
    num_steps: int = Field(ge=0)
    index_sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")


class Manifest(BaseModel):
    """What readers rely on; the rest describes the data to people."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal["villa-shards"]
    version: int
    identity: DataIdentity
    latents: list[LatentInfo]
    slots: list[str]
    num_episodes: int = Field(ge=0)
    num_samples: int = Field(ge=0)
    num_steps: int = Field(ge=0)
    num_bytes: int = Field(ge=0)
    shares: dict[str, float]
    datasets: dict[str, dict[str, Any]]
    embodiments: dict[str, dict[str, Any]]
    statistics: dict[str, dict[str, Any]]
    hands: dict[str, dict[str, Any]] = {}
    """Statistics by embodiment of what people's hands felt."""
    codebooks: dict[str, list[list[float]]] = {}
    """Rows of each model's codebook; samples then hold codes and no vectors."""
    frame_side: int | None = Field(None, ge=1, le=MOST_SIDE)
    """Side that larger frames were scaled to, for models that train at it; None where frames are as ingested."""
    roots: list[str] = []
    """Of the recordings behind the shards, in which nothing may be written."""
    shards: list[ShardEntry]
    checksum: str = Field("", pattern=r"^([0-9a-f]{64})?$")

    @model_validator(mode="after")
    def _complete(self) -> "Manifest":
        if self.version > READABLE[0] and not (self.checksum and all(s.index_sha256 for s in self.shards)):
            raise ValueError("checksums are missing")
        shapes = {model.name: model.d for model in self.latents}
        for name, rows in self.codebooks.items():
            if not rows or any(len(row) != shapes.get(name) for row in rows):
                raise ValueError(f"the codebook of '{name}' has not the width of its latent actions")
        names = [f"shard-{number:06d}.tar" for number in range(len(self.shards))]
        if [shard.name for shard in self.shards] != names:
            raise ValueError("shards are not numbered from 0 on")
        for what in ("num_samples", "num_steps", "num_bytes"):
            if getattr(self, what) != sum(getattr(shard, what) for shard in self.shards):
                raise ValueError(f"{what} is not the sum over its shards")
        return self


def with_checksum(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Add the hash of all that a manifest says, as it will be read."""
    plain = json.loads(json.dumps(manifest))
    return {**plain, CHECKSUM: _checksum(plain)}


def content_digest(manifest: Mapping[str, Any]) -> str:
    """Hash what a manifest says of the data, not where the corpus lay, nor by which commits it came to be."""
    identity = {key: value for key, value in manifest["identity"].items() if key not in ("uri", "version")}
    return _checksum({**manifest, "identity": identity, "roots": []})


def _checksum(manifest: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != CHECKSUM}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_object(data: bytes, path: str) -> dict[str, Any]:
    """Read a JSON object of our own; raise DamagedShardsError where it is none."""
    try:
        return json_file.as_object(json_file.loads(data))
    except json_file.JsonError as error:
        raise DamagedShardsError(path, one_line(str(error), 150)) from error


def read_manifest(directory: Path) -> tuple[dict[str, Any], Manifest]:
    """Read what a folder of shards says about itself; raise DataEngineError where that is nothing.

    Where it is damaged that is a DamagedShardsError.
    """
    path = directory / MANIFEST
    if not path.exists():
        what = "unfinished shards" if (directory / PLAN).exists() else f"no {MANIFEST}"
        raise DataEngineError(f"{directory}: found {what}, expected a folder that `villa shard` finished")
    return parsed(read_bytes(path), path)


def parsed(data: bytes, path: Path | str) -> tuple[dict[str, Any], Manifest]:
    """Read what a manifest says; raise DataEngineError where it is another version, or a DamagedShardsError."""
    values = read_object(data, str(path))
    version = values.get("version")
    if values.get("format") != FORMAT or not isinstance(version, int) or version not in READABLE:
        version_said = one_line(f"{values.get('format')} {version}", 60)
        raise DataEngineError(
            f"{path}: found {version_said}, expected {FORMAT} {VERSION}; `villa shard` writes them anew"
        )
    if CHECKSUM in values and values[CHECKSUM] != _checksum(values):
        raise DamagedShardsError(path, "damaged, its checksum is of other words")
    with damaged(path):
        known = Manifest.model_validate(values)
        for statistics in (*known.statistics.values(), *known.hands.values()):
            _check_statistics(EmbodimentStatistics.from_json(statistics))
    return values, known


def read_bytes(path: Path) -> bytes:
    """Read a file of a folder of shards; raise DamagedShardsError where it is none, or larger than any such."""
    try:
        return files.read_bytes(path, MAX_BYTES)
    except RecordError as error:
        raise DamagedShardsError(path, str(error).removeprefix(path.name).lstrip(": ")) from error


def _check_statistics(statistics: EmbodimentStatistics) -> None:
    for vector in (statistics.state, statistics.action):
        if vector.mean.ndim != 1 or any(
            getattr(vector, name).shape != vector.mean.shape for name in ("std", "min", "max", "q01", "q99")
        ):
            raise DataEngineError("statistics are not of one width")


def index_of(directory: Path, entry: ShardEntry) -> Path:
    """Say where the index of a shard lies."""
    return directory / Path(entry.name).with_suffix(".parquet").name


def entry_within(index: bytes) -> ShardEntry:
    """Read what an index itself says of its shard; raise ValueError or such where it is damaged."""
    return ShardEntry.model_validate_json(ParquetFile(index).schema.metadata[b"villa"])


def check_there(directory: Path, entry: ShardEntry) -> None:
    """Raise DamagedShardsError unless a shard has the size that it was written with and an index beside it."""
    path = directory / entry.name
    size = path.stat().st_size if path.exists() else 0
    if size != entry.num_bytes:
        raise DamagedShardsError(path, f"found {size} bytes, its manifest says {entry.num_bytes}")
    if not index_of(directory, entry).exists():
        raise DamagedShardsError(path, "found no index beside it")


def read_index(directory: Path, entry: ShardEntry) -> pa.Table:
    """Read the index of a shard; raise DamagedShardsError where it is damaged or does not fit the shard."""
    path = index_of(directory, entry)
    data = read_bytes(path)
    if entry.index_sha256 and hashlib.sha256(data).hexdigest() != entry.index_sha256:
        raise DamagedShardsError(path, "damaged, the manifest has another checksum of it")
    with damaged(path):
        file = ParquetFile(data)
        if file.num_rows != entry.num_samples:
            raise DataEngineError(f"has {file.num_rows} samples, the manifest says {entry.num_samples}")
        table = file.read(file.names)
        _check_index(table, entry)
        return table.combine_chunks()


def _check_index(table: pa.Table, entry: ShardEntry) -> None:
    """Refuse rows that point outside of the shard, or that miss something."""
    optional = {"texts", GROUP.name}
    for field in (*INDEX, GROUP):
        if field.name not in table.column_names:
            if field.name not in optional:
                raise DataEngineError(f"has no column {field.name}")
        elif table.schema.field(field.name).type != field.type:
            raise DataEngineError(f"column {field.name} is {table.schema.field(field.name).type}, not {field.type}")
        elif field.name not in optional and _num_nulls(table[field.name]):
            raise DataEngineError(f"column {field.name} has gaps")
    first, count, steps = (_numbers(table[name]) for name in ("first", "count", "num_steps"))
    if (first < 0).any() or (count < 1).any() or (steps < 1).any() or (first > steps - count).any():
        raise DataEngineError("has segments beyond the ends of their episodes")
    if (steps > MOST_STEPS).any():
        raise DataEngineError(f"has episodes of more than {MOST_STEPS} steps")
    if int(count.sum()) != entry.num_steps:
        raise DataEngineError(f"has {int(count.sum())} steps, the manifest says {entry.num_steps}")
    rates = table["control_hz"].to_numpy()
    if not (np.isfinite(rates).all() and (rates > 0).all()):
        raise DataEngineError("has rates that are no numbers above 0")
    lengths = [_numbers(pc.list_value_length(table[name])) for name in ("members", "offsets", "sizes")]
    offsets, sizes = (_numbers(pc.list_flatten(table[name])) for name in ("offsets", "sizes"))
    if any((length != lengths[0]).any() for length in lengths[1:]):
        raise DataEngineError("has not one place for each file")
    if (offsets < 0).any() or (sizes < 0).any() or (sizes > entry.num_bytes).any():
        raise DataEngineError("has files of impossible sizes")
    if (offsets > entry.num_bytes - sizes).any():
        raise DataEngineError(f"has files beyond the {entry.num_bytes} bytes of the shard")
    if not set(pc.unique(table["kind"]).to_pylist()) <= {"robot", "human"}:
        raise DataEngineError("has episodes that are neither of robots nor human")


def _num_nulls(column: pa.ChunkedArray) -> int:
    inside = pc.list_flatten(column).null_count if pa.types.is_list(column.type) else 0
    return int(column.null_count) + inside


def _numbers(column: pa.ChunkedArray) -> Any:
    return column.to_numpy()


@contextmanager
def damaged(path: Path | str) -> Iterator[None]:
    """Say which file is damaged, whatever is raised over it."""
    try:
        yield
    except DamagedShardsError:  # says it already
        raise
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(word) for word in first["loc"]) or "it"
        reason = one_line(f"{where}: {first['msg'].removeprefix('Value error, ')}", 150)
        raise DamagedShardsError(path, f"damaged ({reason})") from error
    except Exception as error:
        if is_of_the_machine(error):
            raise
        reason = str(error) if isinstance(error, DataEngineError) else explain(error)
        raise DamagedShardsError(path, f"damaged ({one_line(reason, 200)})") from error
