"""Ranges of frames on a local disk, seen straight in the files that Lance put them into.

Lance spends 20 to 35 us of a core on each range of a blob, a mapped file 2: decoding eight frames takes some 1,700, so
it counts. The layout of these files is Lance's own (file version 2.2) and no promise. Therefore the first
range of every file is compared with Lance's answer, and whatever differs, is missing, or does not lie in such a file
(small blobs, object stores) is read by Lance.
"""

import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Final

import lance
import numpy as np
import pyarrow as pa

from dataengine.bounded import Bounded
from dataengine.copies import COPIED_AT_ONCE
from dataengine.digest import hex_digest
from dataengine.mapped import MAPS_HELD, MappedFile
from dataengine.shared_table import shared_table
from dataengine.storage import is_uri
from dataengine.store.columns import files, layout
from dataengine.store.read.copied import Fetch

PACKED, DEDICATED = 1, 2
"""Kinds of blob descriptors whose bytes lie in a file of their own: of many blobs, or of one."""

_PATHS: Final = b"villa:paths"
"""Key of the metadata that lists the files of blobs as JSON."""

Range = tuple[int, int, int]
"""Row of the table, first byte, number of bytes."""


class BlobFiles:
    """Reads ranges of one version of a table's blobs."""

    def __init__(self, table: lance.LanceDataset, fetch: Fetch | None = None) -> None:
        """`fetch` brings files here that lie elsewhere until somebody wants them."""
        self._table, self._fetch = table, fetch
        self._columns: dict[str, _Column | None] = {}
        self._maps = Bounded[str, MappedFile](math.inf, max_entries=MAPS_HELD, size=len)
        self._trusted: dict[str, bool] = {}
        self._lock = Lock()

    def read(self, column: str, wanted: Sequence[Range]) -> list[bytes | memoryview]:
        """Give ranges of one column's blobs, in order; a view keeps its file in memory, as far as it is read."""
        with self._lock:
            if column not in self._columns:
                self._columns[column] = _column(self._table, column)
            known = self._columns[column]
        if known is None or not wanted:
            return [*self._by_lance(column, wanted)]
        rows, first, size = np.array(wanted, dtype=np.int64).T
        inside = first + size <= known.size[rows]  # else Lance says what is wrong
        numbers = np.where(inside, known.file[rows], -1)
        begin = known.begin[rows] + first
        self._bring([known.paths[number] for number in np.unique(known.file[rows]).tolist() if number >= 0])
        views: dict[int, bytes | memoryview] = {}
        for number in np.unique(numbers[numbers >= 0]).tolist():
            mine = np.flatnonzero(numbers == number).tolist()
            ranges = list(zip(begin[mine].tolist(), size[mine].tolist(), strict=True))
            file = self._file(column, known.paths[number], wanted[mine[0]], ranges[0][0])
            if file is not None:
                file.check()
                file.will_need(ranges)
                views |= {i: file.view[at : at + n] for i, (at, n) in zip(mine, ranges, strict=True)}
        rest = [i for i, one in enumerate(wanted) if len(views.get(i, b"")) != one[2] or i not in views]
        views |= zip(rest, self._by_lance(column, [wanted[i] for i in rest]), strict=True)
        return [views[i] for i in range(len(wanted))]

    def _bring(self, paths: Sequence[str]) -> None:
        if self._fetch is not None and (missing := [path for path in paths if not self._maps.get([path])]):
            with ThreadPoolExecutor(COPIED_AT_ONCE, "copy") as pool:
                list(pool.map(self._fetch, missing))

    def _file(self, column: str, path: str, first: Range, at: int) -> MappedFile | None:
        """Map a file, or find it mapped; None for one that does not hold at `at` what Lance reads for `first`."""
        with self._lock:
            if held := self._maps.get([path]):
                return held[path]
            if not self._trusted.get(path, True):
                return None
            try:
                file = MappedFile(path)
            except OSError:  # Lance's own error says more
                return None
            if path not in self._trusted:
                self._trusted[path] = file.view[at : at + first[2]] == self._by_lance(column, [first])[0]
                if not self._trusted[path]:
                    return None
            self._maps.keep({path: file})
            return file

    def _by_lance(self, column: str, wanted: Sequence[Range]) -> list[bytes]:
        if not wanted:
            return []
        return [data for _, _, data in self._table.read_blob_ranges(column, wanted, selector="indices")]


class _Column:
    """Where the blobs of a column lie, by row of the table; the processes of a machine share it."""

    def __init__(self, table: pa.Table) -> None:
        self.paths: list[str] = json.loads(table.schema.metadata[_PATHS])
        self.file, self.begin, self.size = (table[name].to_numpy() for name in ("file", "begin", "size"))
        """(e,) number of the path, -1 where Lance must read; first byte in the file; bytes of the whole blob."""


def _column(table: lance.LanceDataset, column: str) -> _Column | None:
    """Find the file and place of every row's blob; None where the table is far away."""
    path = table.uri.removeprefix("file://")
    if is_uri(path):
        return None
    key = hex_digest("\n".join(["blobs", path, column, *layout(table, [column])]), 16)
    return _Column(shared_table(key, table.count_rows(), lambda: _make(table, path, column)))


def _make(table: lance.LanceDataset, path: str, column: str) -> pa.Table:
    rows = table.scanner(columns=[column], with_row_address=True).to_table()
    descriptors = rows[column].combine_chunks()
    kind, begin, size, number = (
        descriptors.field(name).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        for name in ("kind", "position", "size", "blob_id")
    )
    fragment = (rows["_rowaddr"].to_numpy() >> 32).astype(np.int64)
    apart = np.isin(kind, (PACKED, DEDICATED)) & descriptors.is_valid().to_numpy(zero_copy_only=False)
    folders = {f.fragment_id: _folder(table, path, f, column) for f in table.get_fragments()}
    file, paths, numbers = np.full(len(rows), -1, np.int32), list[str](), list[int]()
    pairs, which = np.unique(np.stack([fragment[apart], number[apart]]), axis=1, return_inverse=True)
    for of_fragment, blob in pairs.T.tolist():
        folder = folders[of_fragment]
        numbers.append(-1 if folder is None else len(paths))
        if folder is not None:
            # Files are named by their number's bits, the lowest first.
            paths.append(str(folder / f"{f'{blob:032b}'[::-1]}.blob"))
    if numbers:
        file[apart] = np.array(numbers)[which.ravel()]
    small = len(size) == 0 or int(size.max()) < 2**32
    made = pa.table({"file": file, "begin": begin, "size": size.astype(np.uint32) if small else size})
    return made.replace_schema_metadata({_PATHS: json.dumps(paths).encode()})


def _folder(table: lance.LanceDataset, uri: str, fragment: lance.LanceFragment, column: str) -> Path | None:
    """Name the folder beside the fragment's data file that holds its blobs."""
    holding = [path for path in files(table, fragment, [column]) if path.endswith(".lance")]
    return Path(uri, "data", holding[0]).with_suffix("") if len(holding) == 1 else None
