"""Pre-training shards: WebDataset tars of episode segments, with an index and a manifest.

A sample `<episode id>-<segment>` is these files, one after another in the tar:
    .json                   what the episode is, and which of its steps these are
    .state.npy .action.npy  (t, s) and (t, a) float32; absent in human clips
    .hands_state.npy .hands_action.npy  (t, 14) float32, what people's hands felt, where they tell it
    .codes_<lam>.npy        (t, k) int16, latent actions by one model, -1 where a pair would leave the episode; any
                            number of models. The manifest has the rows of the codebook
    .latent_<lam>.npy       (t, k, d) float32, where latent actions are no rows of a codebook
    .frames_<slot>.bin      t JPEGs, one after another, of the size that the manifest says or as they were ingested;
                            frame i lies between
    .offsets_<slot>.npy     offsets i and i + 1 of these t + 1 numbers

`shard-000000.parquet` says where each file of `shard-000000.tar` begins, so that any frame is one read away. The
manifest comes last: a folder without it is unfinished, and the same call goes on.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataengine.bounded import Bounded
from dataengine.copies import COPIED_AT_ONCE, again
from dataengine.errors import DataEngineError
from dataengine.mapped import MAPS_HELD, MappedFile
from dataengine.shards.checks import Checks
from dataengine.shards.copies import ShardCopies
from dataengine.shards.manifest import MANIFEST, PLAN, DamagedShardsError, damaged, read_manifest
from dataengine.shards.segments import Stored, read_segments
from dataengine.storage import Folder, is_uri
from dataengine.windows import labels
from dataengine.windows.hands import NEEDED
from dataengine.windows.stats import EmbodimentStatistics
from dataengine.windows.window import LatentInfo

_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(<f4|<i2|<i8)', 'fortran_order': False, 'shape': \(([0-9, ]{1,80})\), \} *\n",
    re.S,
)
"""What `numpy.save` writes before our arrays."""
_HEADER_BYTES = 256
BYTES_HELD: Final = 32_000_000
"""Of joined arrays, and of notes where arrays and frames lie."""
COPIES_BYTES: Final = 500e9
"""On this machine, of shards in object stores."""
COPY_TRIES: Final = 5
HANDS_STATE, HANDS_ACTION = "hands_state.npy", "hands_action.npy"


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


class ShardReader:
    """Reads a finished folder of shards at random, through memory maps; gives what the corpus gave.

    With `use_hands`, people whose hands tell it have a state and an action, too, as in a `TableReader`.
    """

    def __init__(self, uri: str | Path, *, use_hands: bool = False, copies_bytes: float = COPIES_BYTES) -> None:
        self.uri = str(uri)
        self._copies = ShardCopies(self.uri, copies_bytes) if is_uri(uri) else None
        self.directory = Path(uri) if self._copies is None else self._copies.directory
        self.manifest, self._known = read_manifest(self.directory)
        self._use_hands = use_hands
        if use_hands and not self._known.hands:
            raise DataEngineError(
                f"{self.uri}: found no {NEEDED}; `villa shard` into another folder writes what the corpus has of them, "
                f"or leave use_hands out"
            )
        self.identity = self._known.identity
        if self._copies is not None:
            self._copies.check(self._known)
        self.episodes, self._segments = read_segments(
            self.directory, self._known, None if self._copies is None else self._copies.index
        )
        self._codebooks = {name: np.array(rows, np.float32) for name, rows in self._known.codebooks.items()}
        self._checks = Checks(self.directory, self._known.shards)
        max_bytes = math.inf if self._copies is None else copies_bytes / 4  # what is mapped takes room when it is gone
        self._maps = Bounded[int, MappedFile](max_bytes, max_entries=MAPS_HELD, size=len)
        self._arrays = Bounded[tuple[int, str], NDArray[Any] | None](BYTES_HELD)
        self._frames = Bounded[tuple[int, str], list[_Frames]](BYTES_HELD)

    @property
    def latents(self) -> tuple[str, ...]:
        """Names of the latent actions that there are."""
        return tuple(model.name for model in self._known.latents)

    @property
    def frame_side(self) -> int | None:
        """Side that larger frames were scaled to."""
        return self._known.frame_side

    def fetch(self, rows: Sequence[int], lam: str = "") -> None:
        """Look whether the maps in which all of it lies are still whole."""
        for file in self._maps.get(self._segments.shards(rows)).values():
            file.check()

    def state(self, row: int) -> NDArray[np.float32] | None:
        """Give canonical states (t, s), or None for a human clip."""
        return self._vectors(row, "state.npy", HANDS_STATE)

    def action(self, row: int) -> NDArray[np.float32] | None:
        """Give canonical actions (t, a)."""
        return self._vectors(row, "action.npy", HANDS_ACTION)

    def latent_info(self, lam: str) -> LatentInfo:
        """Say who made the latent actions."""
        if lam not in self.latents:
            raise DataEngineError(
                f"{self.directory} has no latent actions of '{lam}', it has those of "
                f"{', '.join(self.latents) or 'no model'}; `villa shard --latent {lam}` writes them"
            )
        return self._known.latents[self.latents.index(lam)]

    def latent(self, row: int, lam: str) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
        """Give latent actions (t, k, d) and codes (t, k)."""
        info, codebook = self.latent_info(lam), self.codebook(lam)
        latent, codes = self._array(row, latent_member(lam)), self._array(row, codes_member(lam))
        if latent is None and codes is not None and codebook is not None:
            with damaged(self.directory):
                latent = labels.vectors_of(codebook, codes, lam)
        if latent is None or codes is None:
            raise DataEngineError(f"{self.directory}: episode {self.episodes[row].episode_id} has no latent actions")
        if latent.shape[1:] != (info.k, info.d) or codes.shape[1] != info.k:
            raise DamagedShardsError(self.directory, f"latent actions of '{lam}' are not as the manifest says")
        return latent, codes

    def codebook(self, lam: str) -> NDArray[np.float32] | None:
        """Give the vectors (n, d) of the codes; None where samples hold their own."""
        return self._codebooks.get(lam)

    def jpegs(self, slot: str, wanted: Sequence[tuple[int, int]]) -> list[memoryview]:
        """See encoded frames for (row, frame) pairs: views of the mapped file, which a decoder reads without a copy."""
        rows = {row for row, _ in wanted}
        self._require(self._segments.shards(rows))
        frames = self._frames_of(slot, rows)
        for file in {part.file for segments in frames.values() for part in segments}:
            file.check()
        ranges: dict[MappedFile, list[tuple[int, int]]] = {}
        views = []
        for row, frame in wanted:
            segments = frames[row]
            part = segments[bisect_right(segments, frame, key=_first) - 1 if len(segments) > 1 else 0]
            begin, end = part.offsets[frame - part.first : frame - part.first + 2].tolist()
            ranges.setdefault(part.file, []).append((part.begin + begin, end - begin))
            views.append(part.file.view[part.begin + begin : part.begin + end])
        for file, some in ranges.items():
            file.will_need(some)
        return views

    def num_bytes(self, row: int) -> int:
        """Count the bytes of an episode's frames."""
        return self._segments.num_bytes(row, ".bin")

    def statistics(self) -> dict[str, EmbodimentStatistics]:
        """Give statistics by embodiment."""
        by_embodiment = self._known.statistics | (self._known.hands if self._use_hands else {})
        return {name: EmbodimentStatistics.from_json(one) for name, one in by_embodiment.items()}

    def _vectors(self, row: int, robots: str, people: str) -> NDArray[np.float32] | None:
        of_robots = self._array(row, robots)
        return self._array(row, people) if of_robots is None and self._use_hands else of_robots

    def _map(self, shard: int) -> MappedFile:
        maps = self._maps.get([shard])
        if not maps:
            maps = {shard: self._open(shard)}
            self._maps.keep(maps)
        return maps[shard]

    def _require(self, shards: set[int]) -> None:
        """Get shards that are not mapped, some side by side; raise DamagedShardsError for one that is damaged."""
        if self._copies is None:
            self._checks.require(shards)
            return
        missing = sorted(shards - self._maps.get(shards).keys())
        with ThreadPoolExecutor(COPIED_AT_ONCE, "copy") as pool:
            self._maps.keep(dict(zip(missing, pool.map(self._open, missing), strict=True)))

    def _open(self, shard: int) -> MappedFile:
        entry, path = self._known.shards[shard], self.directory / tar_name(shard)
        for _ in range(COPY_TRIES):
            try:
                if self._copies is not None:
                    self._copies.shard(entry)
                self._checks.require((shard,))
                return MappedFile(path)
            except FileNotFoundError:
                if self._copies is None:
                    raise
                # Another thread or process made room in between.
        raise DataEngineError(
            f"{self.uri}: copies of shards go as soon as they come; set copies_gb to more than a batch needs"
        )

    def _array(self, row: int, name: str) -> NDArray[Any] | None:
        """Join the parts of one array; that of an unbroken episode is a view of the file."""
        known = self._arrays.get([(row, name)])
        if not known:
            stored = self._segments.of(row)
            parts = [self._part(s, name) for s in stored if name in s.members]
            if parts and (len(parts) < len(stored) or len({part.shape[1:] for part in parts}) > 1):
                who = self.episodes[row].episode_id
                raise DamagedShardsError(self.directory, f"{name} of episode {who} has gaps or several widths")
            joined = None if not parts else parts[0] if len(parts) == 1 else np.concatenate(parts)
            known = {(row, name): joined}
            if self._copies is None or len(parts) != 1:  # a view would keep a copy that is to make room
                self._arrays.keep(known)
        return known[row, name]

    def _part(self, stored: Stored, name: str) -> NDArray[Any]:
        """See one array of a segment."""
        kind = name.partition("_")[0]
        dtype, dims = {"codes": ("<i2", 2), "latent": ("<f4", 3), "offsets": ("<i8", 1)}.get(kind, ("<f4", 2))
        file = self._map(stored.shard)
        with damaged(self.directory / tar_name(stored.shard)):
            array = _view(file, stored.members[name], dtype, dims)
            if len(array) != stored.count + (kind == "offsets"):
                raise ValueError(f"{name} of {len(array)} steps, expected {stored.count}")
        return array

    def _frames_of(self, slot: str, rows: Set[int]) -> dict[int, list["_Frames"]]:
        """Say where the frames of some episodes lie, by row."""
        known = {row: lie for (row, _), lie in self._frames.get((row, slot) for row in rows).items()}
        for row in rows - known.keys():
            known[row] = [self._segment_frames(s, slot) for s in self._segments.of(row)]
            if self._copies is None:
                self._frames.keep({(row, slot): known[row]})
        return known

    def _segment_frames(self, stored: Stored, slot: str) -> "_Frames":
        file, offsets = self._map(stored.shard), self._part(stored, f"offsets_{slot}.npy")
        begin, size = stored.members[f"frames_{slot}.bin"]
        if offsets[0] != 0 or offsets[-1] != size or (np.diff(offsets) < 0).any():
            raise DamagedShardsError(self.directory / tar_name(stored.shard), "frames lie elsewhere")
        return _Frames(stored.first, file, begin, offsets)


class _Frames(NamedTuple):
    """Where the frames of one segment lie."""

    first: int
    file: MappedFile
    begin: int
    offsets: NDArray[np.int64]
    """From the begin on."""


_first = attrgetter("first")


def is_shards(uri: str | Path) -> bool:
    """Tell a folder of shards from a corpus."""
    if is_uri(uri):
        sizes = again(str(uri), lambda: Folder(str(uri)).sizes_of([MANIFEST, PLAN]))
        return any(size is not None for size in sizes)
    return any((Path(uri) / name).exists() for name in (MANIFEST, PLAN))


def _view(file: MappedFile, span: tuple[int, int], dtype: str, dims: int) -> NDArray[Any]:
    """See the .npy at (offset, bytes) of a file as an array, without copying it; raise ValueError if it is no such."""
    offset, size = span
    head = _NPY.match(bytes(file.view[offset : offset + min(size, _HEADER_BYTES)]))
    if head is None or head[1].decode() != dtype:
        raise ValueError(f"no array of {dtype}")
    shape = tuple(int(word) for word in head[2].decode().split(",") if word.strip())
    count = math.prod(shape)
    if len(shape) != dims or count * np.dtype(dtype).itemsize != size - head.end():
        raise ValueError(f"an array of shape {shape} in {size} bytes")
    return np.frombuffer(file.view, dtype, count=count, offset=offset + head.end()).reshape(shape)
