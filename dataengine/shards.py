"""Pre-training shards: WebDataset tars of episode segments, with an index and a manifest.

A sample `<episode id>-<segment>` is these files, one after another in the tar:
    .json                   what the episode is, and which of its steps these are
    .state.npy .action.npy  (t, s) and (t, a) float32; absent in human clips
    .latent_<lam>.npy       (t, k, d) float32: latent actions by one model; any number of models
    .codes_<lam>.npy        (t, k) int16, -1 where a pair would leave the episode
    .frames_<slot>.bin      t JPEGs, one after another; frame i lies between
    .offsets_<slot>.npy     offsets i and i + 1 of these t + 1 numbers

`shard-000000.parquet` says where each file of `shard-000000.tar` begins, so that any frame is one read away. The
manifest comes last: a folder without it is unfinished, and the same call goes on.
"""

import hashlib
import io
import json
import mmap
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dataengine import texts
from dataengine.errors import DataEngineError
from dataengine.schema import TEXTS
from dataengine.stats import EmbodimentStatistics
from dataengine.windows import DataIdentity, EpisodeInfo, LatentInfo

MANIFEST, PLAN = "manifest.json", "plan.json"
LOCK = ".villa-lock"
"""Held by whoever writes a folder on a disk; it says nothing about what the folder holds."""
FORMAT, VERSION = "villa-shards", 3
READABLE = (2, VERSION)
"""Versions that are read: in 2 an episode's texts all hold for the whole of it."""

INDEX = pa.schema(
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


def tar_name(number: int) -> str:
    """Name the tar of a shard."""
    return f"shard-{number:06d}.tar"


def index_name(number: int) -> str:
    """Name the index of a shard."""
    return f"shard-{number:06d}.parquet"


def latent_member(lam: str) -> str:
    """Name a sample's file of latent actions."""
    return f"latent_{lam}.npy"


def codes_member(lam: str) -> str:
    """Name a sample's file of codes."""
    return f"codes_{lam}.npy"


@dataclass(frozen=True)
class _Stored:
    """One segment at rest."""

    shard: int
    first: int
    count: int
    members: Mapping[str, tuple[int, int]]


class ShardReader:
    """Reads a finished folder of shards at random, through memory maps; gives what the corpus gave."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.manifest = read_manifest(self.directory)
        self.identity = DataIdentity(**self.manifest["identity"])
        self.episodes: list[EpisodeInfo] = []
        self._segments: list[list[_Stored]] = []
        rows: dict[str, int] = {}
        for number, entry in enumerate(self.manifest["shards"]):
            self._check(number, entry)
            for found in pq.read_table(self.directory / index_name(number)).to_pylist():
                row = rows.setdefault(found["episode_id"], len(rows))
                if row == len(self.episodes):
                    self.episodes.append(_episode(row, found))
                    self._segments.append([])
                members = dict(zip(found["members"], zip(found["offsets"], found["sizes"], strict=True), strict=True))
                self._segments[row].append(_Stored(number, found["first"], found["count"], members))
        for segments in self._segments:
            segments.sort(key=lambda s: s.first)
        self._maps: dict[int, mmap.mmap] = {}
        self._arrays: dict[tuple[int, str], NDArray[Any] | None] = {}
        self._frames: dict[tuple[int, str], list[_Frames]] = {}

    @property
    def latents(self) -> tuple[str, ...]:
        """Names of the latent actions that there are."""
        return tuple(found["name"] for found in self.manifest["latents"])

    def state(self, row: int) -> NDArray[np.float32] | None:
        """Give canonical states (t, s), or None for a human clip."""
        return self._array(row, "state.npy")

    def action(self, row: int) -> NDArray[np.float32] | None:
        """Give canonical actions (t, a)."""
        return self._array(row, "action.npy")

    def latent_info(self, lam: str) -> LatentInfo:
        """Say who made the latent actions."""
        if lam not in self.latents:
            raise DataEngineError(
                f"{self.directory} has no latent actions of '{lam}', it has those of "
                f"{', '.join(self.latents) or 'no model'}; `villa shard --latent {lam}` writes them"
            )
        return LatentInfo(**self.manifest["latents"][self.latents.index(lam)])

    def latent(self, row: int, lam: str) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
        """Give latent actions (t, k, d) and codes (t, k)."""
        latent, codes = self._array(row, latent_member(lam)), self._array(row, codes_member(lam))
        if latent is None or codes is None:
            self.latent_info(lam)
            raise DataEngineError(f"{self.directory}: episode {self.episodes[row].episode_id} has no latent actions")
        return latent, codes

    def jpegs(self, slot: str, wanted: Sequence[tuple[int, int]]) -> list[memoryview]:
        """See encoded frames for (row, frame) pairs: views of the mapped file, which a decoder reads without a copy."""
        return [self._jpeg(slot, row, frame) for row, frame in wanted]

    def num_bytes(self, row: int) -> int:
        """Count the bytes of an episode's frames."""
        members = [m for s in self._segments[row] for m in s.members.items()]
        return sum(size for name, (_, size) in members if name.endswith(".bin"))

    def statistics(self) -> dict[str, EmbodimentStatistics]:
        """Give statistics by embodiment."""
        return {name: EmbodimentStatistics.from_json(one) for name, one in self.manifest["statistics"].items()}

    def verify(self) -> list[str]:
        """Compare every shard with its checksum; return the names of those that differ."""
        bad = []
        for entry in self.manifest["shards"]:
            with (self.directory / entry["name"]).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                    bad.append(entry["name"])
        return bad

    def _check(self, number: int, entry: Mapping[str, Any]) -> None:
        tar, index = self.directory / tar_name(number), self.directory / index_name(number)
        size = tar.stat().st_size if tar.exists() else 0
        if size != entry["num_bytes"] or not index.exists():
            what = f"{size} bytes, its manifest says {entry['num_bytes']}" if index.exists() else "no index beside it"
            raise DataEngineError(f"{tar}: found {what}; copy the folder again, or delete it and run `villa shard`")

    def _map(self, shard: int) -> mmap.mmap:
        if shard not in self._maps:
            with (self.directory / tar_name(shard)).open("rb") as file:
                self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._maps[shard]

    def _array(self, row: int, name: str) -> NDArray[Any] | None:
        """Join the parts of one array; that of an unbroken episode is a view of the file."""
        if (row, name) not in self._arrays:
            stored = self._segments[row]
            parts = [_view(self._map(s.shard), s.members[name][0]) for s in stored if name in s.members]
            joined = None if not parts else parts[0] if len(parts) == 1 else np.concatenate(parts)
            self._arrays[row, name] = joined
        return self._arrays[row, name]

    def _jpeg(self, slot: str, row: int, frame: int) -> memoryview:
        if (row, slot) not in self._frames:
            self._frames[row, slot] = [self._segment_frames(s, slot) for s in self._segments[row]]
        segments = self._frames[row, slot]
        found = segments[bisect_right(segments, frame, key=lambda s: s.first) - 1]
        begin, end = found.offsets[frame - found.first : frame - found.first + 2].tolist()
        return found.jpegs[begin:end]

    def _segment_frames(self, stored: _Stored, slot: str) -> "_Frames":
        file = self._map(stored.shard)
        offsets = _view(file, stored.members[f"offsets_{slot}.npy"][0])
        begin, size = stored.members[f"frames_{slot}.bin"]
        return _Frames(stored.first, memoryview(file)[begin : begin + size], offsets)


class _Frames(NamedTuple):
    """Where the frames of one segment lie."""

    first: int
    jpegs: memoryview
    offsets: NDArray[np.int64]


def read_object(data: bytes, place: str) -> dict[str, Any]:
    """Read a JSON object of our own; raise DataEngineError where it is damaged."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataEngineError(f"{place}: damaged, no JSON ({type(error).__name__}); copy the folder again") from error
    if not isinstance(found, dict):
        raise DataEngineError(f"{place}: found a {type(found).__name__}, expected an object; copy the folder again")
    return found


def read_manifest(directory: Path) -> dict[str, Any]:
    """Read what a folder of shards says about itself; raise DataEngineError where that is nothing."""
    place = directory / MANIFEST
    if not place.exists():
        what = "unfinished shards" if (directory / PLAN).exists() else f"no {MANIFEST}"
        raise DataEngineError(f"{directory}: found {what}, expected a folder that `villa shard` finished")
    manifest = json.loads(place.read_text())
    if manifest.get("format") != FORMAT or manifest.get("version") not in READABLE:
        found = f"{manifest.get('format')} {manifest.get('version')}"
        raise DataEngineError(f"{place}: found {found}, expected {FORMAT} {VERSION}; `villa shard` writes them anew")
    return manifest


def is_shards(place: str | Path) -> bool:
    """Tell a folder of shards from a corpus."""
    return any((Path(place) / name).exists() for name in (MANIFEST, PLAN))


def _episode(row: int, found: Mapping[str, Any]) -> EpisodeInfo:
    plain = EpisodeInfo.__dataclass_fields__.keys() - {"row", "texts", "cameras"}
    return EpisodeInfo(
        row=row,
        texts=texts.from_row(found.get("texts"), found["instruction"], found["num_steps"]),
        cameras=tuple(found["cameras"]),
        **{name: found[name] for name in plain},
    )


def _view(file: mmap.mmap, offset: int) -> NDArray[Any]:
    """See the .npy at an offset of a file as an array, without copying it."""
    head = io.BytesIO(file[offset : offset + 256])
    np.lib.format.read_magic(head)
    shape, _, dtype = np.lib.format.read_array_header_1_0(head)
    return np.frombuffer(file, dtype, count=int(np.prod(shape)), offset=offset + head.tell()).reshape(shape)
