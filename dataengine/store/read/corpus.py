"""The corpus at rest: episodes, frames, labels and side tables, read at one version of `episodes.lance`."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import lance
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.episode import CAMERA_SLOTS
from dataengine.errors import CorpusError
from dataengine.naming import did_you_mean
from dataengine.schema import FRAMES, KEEP, frames_column, offsets_column
from dataengine.storage import is_uri, normal_uri
from dataengine.store import columns, registry, side_tables, snapshots
from dataengine.store.kept import Kept
from dataengine.store.read.blob_files import BlobFiles
from dataengine.store.read.copied import Fetch, copied
from dataengine.store.read.episode import StoredEpisode
from dataengine.store.snapshots import Snapshot
from dataengine.store.tables import create_tables, exists, open_table
from dataengine.windows.mixture import Mixture

OFFSETS_HELD = 8_000_000
"""Frame offsets kept in memory, over all cameras (64 MB); beyond that they are read again."""

INDEX = (
    *("episode_id", "dataset", "dataset_id", "embodiment", "embodiment_id", "kind", "control_hz", "num_steps"),
    *("instruction", "texts", "split", "state_dim", "action_dim", "raw_state_dim", "raw_action_dim"),
    *(f"height_{slot}" for slot in CAMERA_SLOTS),
)
"""Columns that are held in memory once any episode is asked for, of those that there are."""


class Corpus:
    """One version of a corpus. What this object writes it also sees; what others write, after `refresh`.

    Opened at a snapshot, every table stays as it was then, and columns and statistics cannot be written.
    """

    def __init__(
        self, uri: str, table: lance.LanceDataset, snapshot: Snapshot | None = None, fetch: Fetch | None = None
    ) -> None:
        self.uri = uri
        self._fetch = fetch
        self.snapshot = snapshot
        self._table = table
        self._offsets: dict[str, dict[int, NDArray[np.int64]]] = {}
        self._num_offsets = 0

    @classmethod
    def create(cls, uri: str | os.PathLike[str]) -> "Corpus":
        """Create an empty corpus; raise CorpusError where there is one."""
        target = cls.writable_uri(uri)
        if exists(target, "episodes"):
            raise CorpusError(f"{target}: there is a corpus already; open it, or choose another place")
        create_tables(target)
        return cls.open(target)

    @classmethod
    def open(
        cls, uri: str | os.PathLike[str], version: int | str | None = None, *, snapshot: str | None = None
    ) -> "Corpus":
        """Open a corpus as it is now, at a version or tag of its episodes, or with all its tables at a snapshot.

        `CORPUS@NAME` means the snapshot NAME of CORPUS, in every command that takes a corpus.
        """
        base, named = _part_name(normal_uri(uri))
        snapshot = named if snapshot is None else snapshot
        if snapshot is None:
            return cls(base, open_table(base, "episodes", version))
        if version is not None:
            raise CorpusError(f"{base}: asked for snapshot '{snapshot}' and version {version}, expected one of them")
        state = snapshots.find(base, snapshot)
        return cls(base, open_table(base, "episodes", state.versions["episodes"]), state)

    @classmethod
    def open_or_create(cls, uri: str | os.PathLike[str]) -> "Corpus":
        """Open a corpus to write, also one whose creation was cut short or that lacks newer columns, or create it."""
        target = cls.writable_uri(uri)
        create_tables(target)
        columns.complete(target)
        return cls.open(target)

    @staticmethod
    def writable_uri(uri: str | os.PathLike[str]) -> str:
        """Say in full where a corpus lies that is to be written; raise CorpusError for a snapshot, which is never."""
        base, name = _part_name(normal_uri(uri))
        if name is not None:
            raise CorpusError(_never_changes(base, name))
        return base

    @staticmethod
    def exists(uri: str | os.PathLike[str]) -> bool:
        """Tell whether there is a corpus."""
        return exists(_part_name(normal_uri(uri))[0], "episodes")

    def copied(self, max_bytes: float) -> "Corpus":
        """Read what lies in an object store through copies on this machine, of at most so many bytes."""
        table, fetch = copied(self._table, max_bytes)
        return Corpus(self.uri, table, self.snapshot, fetch)

    def refresh(self) -> None:
        """Look at the latest version; a snapshot has no later one."""
        if self.snapshot is None:
            self._table = open_table(self.uri, "episodes")
        self._offsets, self._num_offsets = {}, 0
        for name in ("_index", "_rows", "_blobs"):
            self.__dict__.pop(name, None)

    @property
    def version(self) -> int:
        """Version of the episodes that this object sees."""
        return self._table.version

    @property
    def lance_table(self) -> lance.LanceDataset:
        """The table itself, as any Lance client sees it."""
        return self._table

    @property
    def schema(self) -> pa.Schema:
        """Columns of the episodes, labels included, with their metadata."""
        return self._table.schema

    def __len__(self) -> int:
        return self._table.count_rows()

    def count(self, where: str) -> int:
        """Count the episodes that an SQL filter keeps."""
        return self._table.count_rows(where)

    def episode_ids(self) -> list[str]:
        """Every episode, in the order of the table."""
        return self._index["episode_id"].to_pylist()

    def episode(self, episode_id: str) -> StoredEpisode:
        """Look at one episode; its arrays and frames are read when they are asked for."""
        return StoredEpisode(self, self._row(episode_id), self._index)

    def table(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """Read columns of all episodes, or of those that an SQL filter keeps; without columns all but the frames."""
        names = [n for n in self.schema.names if n not in FRAMES] if columns is None else list(columns)
        unknown = [n for n in names if n not in self.schema.names]
        if unknown:
            raise CorpusError(f"{self.uri}: no column '{unknown[0]}'; {did_you_mean(unknown[0], self.schema.names)}")
        blobs = [n for n in names if n in FRAMES]
        if blobs:
            raise CorpusError(f"{self.uri}: column '{blobs[0]}' holds frames; read them with Corpus.jpegs")
        return self._table.to_table(names, filter=where)

    def scan(
        self, columns: Sequence[str], where: str | None = None, batch_size: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Stream columns in the order of the table; of frames come descriptors (position and size), not bytes."""
        return self._table.to_batches(list(columns), filter=where, batch_size=batch_size)

    def kept(
        self,
        *,
        datasets: Collection[str] | None = None,
        embodiments: Collection[str] | None = None,
        kind: str | None = None,
        where: str | None = None,
        vectors: Sequence[str] = (),
        slots: Sequence[str] = (),
        kept_only: bool = True,
        fragment_id: int | None = None,
    ) -> Kept:
        """Ask which episodes count, of all or of one fragment: the one answer, whatever they are needed for.

        Datasets, embodiments, kind and `where` (SQL) say which are asked about. Of those do not count, and are counted
        by their reason: what curation dropped unless `kept_only` is False, what lacks one of the `vectors` (`state`,
        `action`, `raw_*`), what lacks a camera of `slots`.
        """
        return Kept(
            self._table if fragment_id is None else self._fragment(fragment_id),
            datasets=datasets,
            embodiments=embodiments,
            kind=kind,
            where=where,
            vectors=vectors,
            slots=slots,
            kept_only=kept_only,
        )

    @property
    def is_curated(self) -> bool:
        """Tell whether curation has checked episodes, if not yet all of them."""
        return KEEP in self.schema.names

    def distinct(self, columns: Sequence[str], where: str | None = None) -> set[tuple[Any, ...]]:
        """Collect the different values of some plain columns, a batch at a time."""
        values: set[tuple[Any, ...]] = set()
        for batch in self.scan(columns, where):
            rows = pa.table(batch).group_by(list(columns)).aggregate([])
            values.update(zip(*(rows[name].to_pylist() for name in columns), strict=True))
        return values

    def jpegs(self, slot: str, wanted: Sequence[tuple[str, int]]) -> list[bytes]:
        """Read encoded frames of one camera for (episode_id, frame) pairs, in order, in one batched read."""
        rows = [self._row(episode_id) for episode_id, _ in wanted]
        return [bytes(data) for data in self.read_frames(slot, rows, [frame for _, frame in wanted])]

    def read_frames(self, slot: str, rows: Sequence[int], frames: Sequence[int]) -> list[bytes | memoryview]:
        """See what `jpegs` copies, for rows of the table at this version: views of mapped files, where they are."""
        offsets = self._load_offsets(slot, rows)
        requests = []
        for row, frame in zip(rows, frames, strict=True):
            bounds = offsets[row]
            if not 0 <= frame < len(bounds) - 1:
                episode_id = self._index["episode_id"][row].as_py()
                raise CorpusError(f"episode {episode_id}: camera {slot} has {len(bounds) - 1} frames, no frame {frame}")
            requests.append((row, int(bounds[frame]), int(bounds[frame + 1] - bounds[frame])))
        return self._blobs.read(frames_column(slot), requests)

    def read_row(self, row: int, columns: Sequence[str]) -> dict[str, pa.Scalar]:
        """Read a few columns of one row."""
        taken = self._table.take([row], columns=list(columns))
        return {name: taken[name][0] for name in columns}

    def embodiments(self) -> dict[str, int]:
        """Ids of the embodiments by name, from 1; 0 means unknown everywhere."""
        return registry.ids(self.uri, "embodiments", self._version_of("embodiments"))

    def datasets(self) -> dict[str, int]:
        """Ids of the datasets by name, from 1; 0 means unknown everywhere."""
        return registry.ids(self.uri, "datasets", self._version_of("datasets"))

    def rejects(self) -> pa.Table:
        """Every record and part that could not be read, with its reason."""
        return open_table(self.uri, "rejects", self._version_of("rejects")).to_table()

    def runs(self) -> pa.Table:
        """Every command that wrote."""
        return open_table(self.uri, "runs", self._version_of("runs")).to_table()

    def append_run(self, run: Mapping[str, object]) -> None:
        """Note a command that wrote: the columns of `schema.RUNS`; other keys go into its counts."""
        side_tables.append_run(self.uri, run)

    def stats(self) -> pa.Table | None:
        """Read what `write_stats` wrote last, or None."""
        if self.snapshot is not None and "stats" not in self.snapshot.versions:
            return None
        return side_tables.read_stats(self.uri, self._version_of("stats"))

    def write_stats(self, stats: pa.Table) -> None:
        """Replace the statistics; earlier versions stay readable."""
        self.check_writable()
        side_tables.write_stats(self.uri, stats)

    def robots_hash(self) -> str:
        """Hash which robot episodes count, and how many of their steps: statistics are of just these."""
        return snapshots.robots_hash(self._table)

    def ensure_columns(self, wanted: pa.Schema) -> None:
        """Add columns that are all NULL, without touching a row; one that exists must have the same type and origin."""
        self.check_writable()
        columns.ensure_columns(self.uri, wanted)
        self._advance()

    def fragment_ids(self) -> list[int]:
        """Units of labelling: groups of rows that are updated together."""
        return sorted(fragment.fragment_id for fragment in self._table.get_fragments())

    def fragment_table(self, fragment_id: int, columns: Sequence[str]) -> pa.Table:
        """Read columns of one fragment in row order, with `_rowid`."""
        return self._fragment(fragment_id).to_table(list(columns), with_row_id=True)

    def fragment_files(self, fragment_id: int, names: Sequence[str]) -> list[str]:
        """Name the files that hold columns of a fragment, and its deletions: other values mean other files."""
        return columns.files(self._table, self._fragment(fragment_id), names)

    def update_fragment(self, fragment_id: int, values: pa.Table) -> None:
        """Fill columns of one fragment; `values` has `_rowid` and those columns. Safe beside ingest and labels."""
        self.check_writable()
        columns.update_fragment(self.uri, fragment_id, values)
        self._advance()

    def take_snapshot(self, name: str, mixture: Mixture | None = None) -> Snapshot:
        """Name the present state of every table, and a mixture, for `open` to read whatever comes after."""
        self.check_writable()
        return snapshots.take(self.uri, name, mixture)

    def snapshots(self) -> list[Snapshot]:
        """List every snapshot, oldest first."""
        return snapshots.listed(self.uri)

    def _version_of(self, side_table: str) -> int | None:
        return None if self.snapshot is None else self.snapshot.versions[side_table]

    def check_writable(self) -> None:
        """Raise CorpusError where nothing can be written, before work is done for it."""
        if self.snapshot is not None:
            raise CorpusError(_never_changes(self.uri, self.snapshot.name))
        if not is_uri(self.uri) and not os.access(f"{self.uri}/episodes.lance", os.W_OK):
            raise CorpusError(
                f"{self.uri}: can only be read here, and the results are written into it; get the right to write, or "
                f"copy it"
            )

    def _advance(self) -> None:
        """Look at the latest version after a change of columns; what is held in memory stays if no row moved."""
        newer = open_table(self.uri, "episodes")
        if _layout(newer) == _layout(self._table):
            self._table = newer
        else:
            self.refresh()

    def _fragment(self, fragment_id: int) -> lance.LanceFragment:
        fragment = self._table.get_fragment(fragment_id)
        if fragment is None:
            raise CorpusError(
                f"{self.uri}: no fragment {fragment_id} at version {self.version}, compacted meanwhile; run it again"
            )
        return fragment

    @cached_property
    def _index(self) -> pa.Table:
        return self._table.to_table([name for name in INDEX if name in self.schema.names]).combine_chunks()

    @cached_property
    def _blobs(self) -> BlobFiles:
        return BlobFiles(self._table, self._fetch)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {episode_id: row for row, episode_id in enumerate(self.episode_ids())}

    def _row(self, episode_id: str) -> int:
        row = self._rows.get(episode_id)
        if row is None:
            raise CorpusError(f"{self.uri}: no episode '{episode_id}' among {len(self._rows)}; `villa show` lists them")
        return row

    def _load_offsets(self, slot: str, rows: Sequence[int]) -> dict[int, NDArray[np.int64]]:
        """Give the frame offsets of some rows; all that are missing come in one read."""
        if slot not in CAMERA_SLOTS:
            raise CorpusError(f"no camera slot '{slot}', expected one of {', '.join(CAMERA_SLOTS)}")
        held = self._offsets.setdefault(slot, {})
        missing = sorted(set(rows) - held.keys())
        if not missing:
            return held
        if self._num_offsets > OFFSETS_HELD:
            self._offsets, self._num_offsets = {}, 0
            return self._load_offsets(slot, rows)
        column = self._table.take(missing, columns=[offsets_column(slot)])[0]
        for row, offsets in zip(missing, column, strict=True):
            if not offsets.is_valid:
                raise CorpusError(f"episode {self._index['episode_id'][row].as_py()} has no camera {slot}")
            held[row] = offsets.values.to_numpy()
            self._num_offsets += len(held[row])
        return held


def _part_name(uri: str) -> tuple[str, str | None]:
    """Part `CORPUS@NAME`; a corpus whose own name has an `@` keeps it."""
    corpus, at, name = uri.rpartition("@")
    if not at or not corpus or "/" in name or exists(uri, "episodes") or not exists(corpus, "episodes"):
        return uri, None
    return corpus, name


def _never_changes(uri: str, name: str) -> str:
    return f"{uri}: snapshot '{name}' never changes; give the corpus itself, without @{name}"


def _layout(table: lance.LanceDataset) -> list[tuple[int, int, int]]:
    """Tell where rows lie: equal for versions whose rows have the same places."""
    return [(f.fragment_id, f.metadata.physical_rows, f.metadata.num_deletions) for f in table.get_fragments()]
