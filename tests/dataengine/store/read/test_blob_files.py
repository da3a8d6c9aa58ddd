"""Frames read past Lance are those that Lance reads; whatever is not as expected is left to it."""

import os
from collections.abc import Sequence
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest

from dataengine.errors import DataEngineError
from dataengine.mapped import MappedFile
from dataengine.store.read import blob_files
from dataengine.store.read.blob_files import BlobFiles

SIZES = [10, 100_000, None, 5_000_000, 300_000, 0, 70_000]
"""Bytes of the blobs: Lance keeps small ones in its own file and large ones each in a file of theirs."""


class Watched:
    """A table that counts what is asked of it."""

    def __init__(self, table: lance.LanceDataset) -> None:
        self.table, self.ranges = table, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.table, name)

    def read_blob_ranges(self, column: str, wanted: Sequence, **kwargs: object) -> list:
        self.ranges += len(wanted)
        return self.table.read_blob_ranges(column, wanted, **kwargs)


def num_open() -> int:
    """Files of blobs that this process holds open; what else its threads open is none of our business."""
    count = 0
    for handle in Path("/proc/self/fd").iterdir():
        try:
            count += str(handle.readlink()).endswith(".blob")
        except FileNotFoundError:  # closed meanwhile
            continue
    return count


def rows(first: int, sizes: Sequence[int | None]) -> pa.Table:
    draw = np.random.default_rng(first)
    schema = pa.schema([("id", pa.int64()), lance.blob_field("frames"), lance.blob_field("other")])
    data = [[None if size is None else draw.bytes(size) for size in sizes] for _ in range(2)]
    ids = pa.array(range(first, first + len(sizes)))
    return pa.Table.from_arrays([ids, *map(lance.blob_array, data)], schema=schema)


@pytest.fixture
def table(tmp_path: Path) -> Watched:
    """Two fragments, two deleted rows, blobs of every kind."""
    uri, kwargs = str(tmp_path / "t.lance"), {"data_storage_version": "2.2", "enable_stable_row_ids": True}
    lance.write_dataset(rows(0, SIZES), uri, **kwargs)
    lance.write_dataset(rows(10, [120_000, 90_000, 80_000]), uri, mode="append", **kwargs)
    lance.dataset(uri).delete("id = 1 or id = 10")
    return Watched(lance.dataset(uri))


def ranges(table: Watched) -> list[tuple[int, int, int]]:
    """Some of every blob, twice, in no order."""
    sizes = [size for i, size in enumerate(SIZES) if i != 1] + [90_000, 80_000]
    draw = np.random.default_rng(0)
    spans = []
    for row, size in enumerate(sizes):
        for first, last in [] if size is None else np.sort(draw.integers(0, size + 1, (2, 2)), axis=1).tolist():
            spans.append((row, first, last - first))
    return [spans[i] for i in draw.permutation(len(spans))]


@pytest.mark.parametrize("column", ["frames", "other"])
def test_ranges_are_those_that_lance_reads(table: Watched, column: str) -> None:
    wanted = ranges(table)
    expected = [data for _, _, data in table.table.read_blob_ranges(column, wanted, selector="indices")]
    files = BlobFiles(table)
    assert files.read(column, wanted) == expected
    table.ranges = 0
    assert files.read(column, wanted) == expected
    small = sum(row in (0, 4) for row, _, _ in wanted)
    assert table.ranges == small < len(wanted) / 2


def test_a_file_that_holds_something_else_is_left_to_lance(table: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ranges(table)
    expected = [data for _, _, data in table.table.read_blob_ranges("frames", wanted, selector="indices")]

    class Shifted(MappedFile):
        def __init__(self, path: str) -> None:
            super().__init__(path)
            self.view = self.view[1:]

    monkeypatch.setattr(blob_files, "MappedFile", Shifted)
    files = BlobFiles(table)
    for _ in range(2):
        assert files.read("frames", wanted) == expected


def test_a_file_that_is_not_where_it_is_looked_for_is_left_to_lance(
    table: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_files, "_folder", lambda *_: Path("/nowhere"))
    wanted = ranges(table)
    expected = [data for _, _, data in table.table.read_blob_ranges("frames", wanted, selector="indices")]
    assert BlobFiles(table).read("frames", wanted) == expected


def test_beyond_the_end_of_a_blob_lies_nothing_although_its_file_goes_on(table: Watched) -> None:
    with pytest.raises((OSError, ValueError)):
        BlobFiles(table).read("frames", [(6, 89_990, 20)])


def test_no_file_stays_open_however_many_are_read(table: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_files, "MAPS_HELD", 1)
    wanted = ranges(table)
    files, before = BlobFiles(table), num_open()
    first = files.read("frames", wanted)
    for _ in range(3):
        assert files.read("frames", wanted) == first
    assert num_open() == before


def test_a_file_that_is_cut_short_while_it_is_read_ends_in_a_line_and_not_in_a_signal(
    table: Watched, tmp_path: Path
) -> None:
    files, wanted = BlobFiles(table), ranges(table)
    files.read("frames", wanted)
    for path in tmp_path.rglob("*.blob"):
        os.truncate(path, 100)
    with pytest.raises(DataEngineError, match=r"\.blob: found 100 bytes, \d+ when it was opened"):
        files.read("frames", wanted)
