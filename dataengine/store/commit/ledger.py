"""Which parts a version of `episodes.lance` holds, also of one with 100,000 fragments, in a second or two.

The table itself is the ledger: rows carry the `part_id` they came from. To ask each of many small files would take half
a millisecond each, so what a file said is remembered, in memory and below `_cache/`. Lance never writes to a file
twice and never gives two files one name: what is remembered of a file stays true, and of files that a version does not
name nothing is taken. The cache may be deleted at any time.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import lance
import pyarrow as pa

from dataengine.digest import hasher
from dataengine.storage import Folder
from dataengine.store.commit.receipts import Receipt

SAVE_EVERY: Final = 2_000
"""Files learnt about since the cache was last saved: what a killed run has to ask again at most, in a second."""

ROWS_AT_ONCE: Final = 10_000

DIGEST_BYTES: Final = 16

CACHE: Final = pa.schema([(name, pa.string()) for name in ("file", "part_id", "fingerprint")])

Parts = Mapping[str, str]
"""Fingerprint of each part by its id."""


class Ledger:
    """The parts of the latest version that was asked for."""

    def __init__(self, corpus: str) -> None:
        self._folder = Folder(f"{corpus}/_cache")
        self._files: dict[str, dict[str, str]] = {}
        self._parts: dict[str, str] = {}
        self._version = -1
        self._unsaved = 0
        self.lowest: int | None = None
        """Lowest fragment of that version: the fence of every committer."""

    def read(self, table: lance.LanceDataset) -> Parts:
        """Give the parts of a version; only files that nobody has asked yet are read."""
        if table.version == self._version:
            return self._parts
        if self._version < 0:
            self._load()
        fragments = table.get_fragments()
        named = {fragment.data_files()[0].path: fragment for fragment in fragments}
        # Who deletes rows without our help may delete all of a part: such a fragment is asked every time.
        ask = {path: f for path, f in named.items() if path not in self._files or f.num_deletions}
        self._files = {path: self._files[path] for path in named.keys() - ask.keys()} | _ask(table, ask)
        self._parts = {part: fingerprint for held in self._files.values() for part, fingerprint in held.items()}
        self._version = table.version
        self.lowest = min((fragment.fragment_id for fragment in fragments), default=None)
        self._learn(len(ask))
        return self._parts

    def holds(self, receipt: Receipt) -> bool:
        """Tell whether the version that was read last has the rows of this very receipt, not another reading's."""
        return all(json.loads(fragment)["files"][0]["path"] in self._files for fragment in receipt.fragments)

    def add(self, receipts: Sequence[Receipt], version: int) -> None:
        """Note what was committed on top of the version that was read last, so that nobody need ask."""
        for receipt in receipts:
            self._parts[receipt.part_id] = receipt.fingerprint
            for fragment in receipt.fragments:
                self._files[json.loads(fragment)["files"][0]["path"]] = {receipt.part_id: receipt.fingerprint}
        self._version = version
        self._learn(sum(len(receipt.fragments) for receipt in receipts))

    def _learn(self, count: int) -> None:
        self._unsaved += count
        if self._unsaved >= SAVE_EVERY:
            self._save()

    def _load(self) -> None:
        try:
            data = self._folder.read("ledger.arrow")
            if (
                _digest(data[:-DIGEST_BYTES]) != data[-DIGEST_BYTES:]
            ):  # what rots must not bring parts twice, or lose some
                return
            cache = pa.ipc.open_file(data[:-DIGEST_BYTES]).read_all()
            rows = zip(*(cache[name].to_pylist() for name in CACHE.names), strict=True)
        except (OSError, pa.ArrowInvalid, KeyError):  # none yet, or not whole
            return
        for file, part_id, fingerprint in rows:
            self._files.setdefault(file, {})[part_id] = fingerprint

    def _save(self) -> None:
        rows = [(file, *part) for file, parts in self._files.items() for part in parts.items()]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, CACHE) as writer:
            writer.write_table(pa.table([pa.array(c, pa.string()) for c in zip(*rows, strict=True)], schema=CACHE))
        with contextlib.suppress(OSError):  # a corpus that may only be read, a full disk: it costs time, nothing else
            data = sink.getvalue().to_pybytes()
            self._folder.write("ledger.arrow", data + _digest(data))
        self._unsaved = 0


def _digest(data: bytes) -> bytes:
    return hasher(data, DIGEST_BYTES).digest()


def _ask(table: lance.LanceDataset, fragments: Mapping[str, lance.LanceFragment]) -> dict[str, dict[str, str]]:
    """Read the parts in some fragments, by the file that names them."""
    if not fragments:
        return {}
    parts: dict[str, dict[str, str]] = {path: {} for path in fragments}
    paths = {fragment.fragment_id: path for path, fragment in fragments.items()}
    scanner = table.scanner(
        ["part_id", "source_fingerprint"], fragments=list(fragments.values()), with_row_address=True
    )
    for fragment_id, part_id, fingerprint in _distinct(scanner.to_batches()):
        parts[paths[fragment_id]][part_id] = fingerprint
    return parts


def _distinct(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, str, str]]:
    """Give each (fragment, part, fingerprint), once where many rows follow each other that have the same."""
    for rows in _gathered(batches):
        fragments = pa.array(rows["_rowaddr"].to_numpy() >> 32)
        table = pa.table([fragments, rows["part_id"], rows["source_fingerprint"]], ["fragment", "part", "fingerprint"])
        distinct = table.group_by(table.column_names).aggregate([])
        yield from zip(*(distinct[name].to_pylist() for name in table.column_names), strict=True)


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Join batches, of which every small file has one of its own, into tables worth a grouping."""
    held: list[pa.RecordBatch] = []
    num_rows = 0
    for batch in batches:
        held.append(batch)
        num_rows += len(batch)
        if num_rows >= ROWS_AT_ONCE:
            yield pa.Table.from_batches(held)
            held, num_rows = [], 0
    if held:
        yield pa.Table.from_batches(held)
