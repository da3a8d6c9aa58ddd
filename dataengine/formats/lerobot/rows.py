"""Rows of LeRobot episodes out of parquet files, one row group at a time."""

from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.formats import files
from dataengine.formats.lerobot.entries import EpisodeEntry
from dataengine.formats.lerobot.lerobot import Feature, Info, safe_file
from dataengine.formats.parquet import ParquetFile

ORDER = "frame_index"
MAX_PICTURE = 2**26
"""Bytes of one encoded picture."""


class RowReader:
    """Reads episode after episode; what is held in memory is one episode and one row group."""

    def __init__(self, info: Info, columns: Sequence[str], optional: Container[str] = ()) -> None:
        self.info = info
        self.columns = [name for name in columns if name in info.features]
        """Those of them that the dataset declares."""
        self.optional = optional
        """Which of them a file may lack all the same."""
        self._file: tuple[Path, ParquetFile] | None = None
        self._group: tuple[Path, int, pa.Table] | None = None
        self._ranges: NDArray[np.int64] | None = None

    def read(self, entry: EpisodeEntry) -> pa.Table:
        """Read an episode's rows in order of their frames; raise RecordError unless there is one for every frame.

        Files hold rows that no episode counts (an aborted upload), and an old converter names the file before the one
        that an episode lies in: rows count by their numbers, never by their place.
        """
        path = safe_file(self.info, entry.data_file)
        try:
            table = self._rows(path, entry)
            if not len(table) and self.info.is_v3 and (following := self._following(path)) is not None:
                table = self._rows(following, entry)
        except RecordError as error:
            raise RecordError(f"{entry.data_file}: {error}") from error
        if len(table) != entry.length:
            raise RecordError(
                f"{entry.data_file} has {len(table)} rows of the episode, its metadata say {entry.length}"
            )
        if ORDER not in table.column_names:
            return table
        frames = integers(table, ORDER)
        order = np.argsort(frames, kind="stable")
        if not np.array_equal(frames[order], np.arange(len(frames))):
            raise RecordError(f"{entry.data_file}: {ORDER} is not 0 to {len(frames) - 1}, once each")
        return table if np.array_equal(order, np.arange(len(order))) else table.take(order)

    def _rows(self, path: Path, entry: EpisodeEntry) -> pa.Table:
        file = self._open(path)
        wanted = [name for name in self.columns if name in file.names]
        missing = [name for name in self.columns if name not in file.names and name not in self.optional]
        if missing:
            raise RecordError(f"has no column '{missing[0]}', which info.json declares")
        if not self.info.is_v3:
            return file.read(wanted)
        if "episode_index" not in file.names:
            raise RecordError("has no column 'episode_index'")
        groups = []
        if self._ranges is None:
            self._ranges = file.ranges("episode_index")
        least, greatest = self._ranges.T
        for group in np.flatnonzero((least <= entry.index) & (entry.index <= greatest)).tolist():
            table = self._load(path, file, group)
            groups.append(table.filter(pc.equal(table["episode_index"], entry.index)))
        table = pa.concat_tables(groups) if groups else file.schema.empty_table()
        if len(table) > entry.length and entry.rows is not None and "index" in table.column_names:
            first, stop = entry.rows
            inside = pc.and_(pc.greater_equal(table["index"], first), pc.less(table["index"], stop))
            table = table.filter(inside)
        return table

    def _open(self, path: Path) -> ParquetFile:
        if self._file is None or self._file[0] != path:
            if self._file is not None:
                self._file[1].close()
            self._file = self._group = self._ranges = None
            self._file = (path, ParquetFile(path))
        return self._file[1]

    def _load(self, path: Path, file: ParquetFile, group: int) -> pa.Table:
        if self._group is None or self._group[:2] != (path, group):
            self._group = None  # let go of the one before reading the next
            wanted = dict.fromkeys([*self.columns, "episode_index", "index"])
            self._group = (path, group, file.read([name for name in wanted if name in file.names], group))
        return self._group[2]

    def _following(self, path: Path) -> Path | None:
        """Name the data file after this one, in the order in which they were filled."""
        there = sorted((self.info.root / "data").glob("*/*.parquet"), key=str)
        after = [other for other in there if str(other) > str(path)]
        return files.inside(after[0], self.info.root) if after else None


def numbers_with_gaps(table: pa.Table, feature: Feature) -> NDArray[Any]:
    """Read a numeric column as `numbers` does, with NaN where a row or a value of it is null."""
    values = _plain(table[feature.key])
    there = values.is_valid().to_numpy(zero_copy_only=False)
    if there.all():
        return numbers(table, feature)
    if not there.any():
        return np.full((len(table), feature.width), np.nan)
    present = numbers(pa.table({feature.key: values.drop_null()}), feature)
    whole = np.full((len(table), feature.width), np.nan)
    whole[there] = present
    return whole


def numbers(table: pa.Table, feature: Feature) -> NDArray[Any]:
    """Read a numeric column as (t, width), whatever its nesting; raise RecordError when it is not as declared."""
    values = _plain(table[feature.key])
    while _is_list(values.type):
        if values.null_count:
            raise RecordError(f"{feature.key} has {values.null_count} rows without values")
        if not pa.types.is_fixed_size_list(values.type):
            lengths = pc.unique(pc.list_value_length(values))
            if len(lengths) > 1:
                raise RecordError(f"{feature.key} has rows of {lengths[0]} and of {lengths[1]} values")
        values = _plain(values.flatten())
    if values.null_count:
        raise RecordError(f"{feature.key} has {values.null_count} values that are null")
    array = values.to_numpy(zero_copy_only=False)
    if array.dtype == object or array.size != len(table) * feature.width:
        raise RecordError(
            f"{feature.key} has {array.size / max(len(table), 1):g} values of {values.type} in a row, "
            f"info.json says {feature.width} of {feature.dtype}"
        )
    return array.reshape(len(table), feature.width)


def integers(table: pa.Table, name: str) -> NDArray[np.int64]:
    """Read a column of whole numbers (t,), in a list of one or not."""
    values = numbers(table, Feature(name, "int64", (1,)))[:, 0]
    if values.dtype.kind == "f" and not (np.abs(values) < 2**53).all():  # a NaN, too, is not below
        raise RecordError(f"{name} has values that are no whole numbers")
    whole = values.astype(np.int64)
    if not np.array_equal(whole, values):
        raise RecordError(f"{name} has values that are no whole numbers")
    return whole


def texts(table: pa.Table, name: str) -> tuple[list[tuple[str, ...]], list[int]]:
    """Read a column of texts, one or several a row, without empty ones; also tell rows of which one is not UTF-8."""
    values = _plain(table[name])
    try:
        rows = values.to_pylist()
    except UnicodeDecodeError:
        rows = values.cast(_as_bytes(values.type)).to_pylist()
    said, lost = [], []
    for row, value in enumerate(rows):
        readable: list[str] = []
        for each in _flat(value):
            try:
                readable.append(each.decode() if isinstance(each, bytes) else str(each))
            except UnicodeDecodeError:
                lost.append(row)
        said.append(tuple(text for text in readable if text.strip()))
    return said, list(dict.fromkeys(lost))


def structs(table: pa.Table, name: str) -> list[dict[str, Any]]:
    """Read a column of lists of structs that repeats the same list in every row."""
    value = table[name][0].as_py() if len(table) else None
    return [row for row in _flat(value) if isinstance(row, dict)]


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            yield from _flat(each)
    elif value is not None:
        yield value


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    """Give the type of the same nesting whose texts are bytes."""
    if _is_list(kind):
        return pa.list_(_as_bytes(kind.value_type))
    return pa.large_binary() if pa.types.is_large_string(kind) else pa.binary()


def images(info: Info, table: pa.Table, name: str) -> list[bytes]:
    """Read a column of encoded pictures, in the file or beside it; raise RecordError when one is missing."""
    jpegs = []
    for i, value in enumerate(table[name].to_pylist()):
        data = value.get("bytes") if isinstance(value, dict) else value
        if data is None and isinstance(value, dict) and value.get("path"):
            data = files.read_bytes(safe_file(info, str(value["path"])), MAX_PICTURE)
        if not isinstance(data, bytes):
            raise RecordError(f"{name}: frame {i} has no picture")
        jpegs.append(data)
    return jpegs


def _plain(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Make one array of what is chunked, and of an extension type its storage."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(whole, pa.ChunkedArray):  # of no chunks, or of more than one array can hold
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    return whole.storage if isinstance(whole, pa.ExtensionArray) else whole


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
