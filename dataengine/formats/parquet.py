"""Parquet files that somebody else wrote: opened, bounded and read in this one place.

Whatever is wrong with one is a RecordError. pyarrow is asked for the schema and for rows; what the footer says of
groups and columns is read by `_parquet_footer.py`, which tells why. A few bytes may stand for a column of a billion
equal numbers, so nothing is read before its size is known.
"""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.formats import _parquet_footer, lfs, remote
from dataengine.reading import is_of_the_machine, one_line

MAX_BYTES = 2**30
"""Of the pages of what is read at once: an episode with its pictures, or a group of rows, has some 100 MB."""
MAX_VALUES = 2**27
"""Of numbers at once: 1 GiB in memory."""
UNBOUNDED = 2**62


class ParquetFile:
    """One file, open; raise RecordError, without its name, when it is missing or damaged."""

    def __init__(self, source: Path | bytes) -> None:
        self._source = source
        in_memory = isinstance(source, bytes)
        with _readable(source):
            with io.BytesIO(source) if isinstance(source, bytes) else remote.open_file(source) as data:
                self._footer = _parquet_footer.read(data)
            self._file = pq.ParquetFile(pa.BufferReader(source) if in_memory else source)
            self.schema: pa.Schema = self._file.schema_arrow
            self._leaves = [self._file.schema.column(i).path for i in range(len(self._file.schema))]
            """`observation.state.list.element` of the column `observation.state`."""
            self._footer.check_width(len(self._leaves))

    def __enter__(self) -> "ParquetFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @property
    def names(self) -> list[str]:
        """Columns."""
        return list(self.schema.names)

    @property
    def num_rows(self) -> int:
        """How many rows it claims to have, by one count or the other."""
        return max(self._footer.num_rows, sum(group.num_rows for group in self._footer.groups))

    def ranges(self, name: str) -> NDArray[np.int64]:
        """Tell (groups, 2) the least and greatest value of a column in each group; without statistics 0 to UNBOUNDED.

        Raise RecordError when the column is no plain one of numbers.
        """
        if name not in self._leaves:
            raise RecordError(f"{name} is no plain column of numbers")
        column = self._leaves.index(name)
        limits = [group.chunks[column].limits or (0, UNBOUNDED) for group in self._footer.groups]
        return np.array(limits, np.int64).reshape(-1, 2)

    def read(self, columns: Sequence[str], group: int | None = None) -> pa.Table:
        """Read columns, in the order given, of all rows or of one group.

        Raise RecordError when they are damaged, when they unpack to more than is read at once, or when a name stands
        for two columns, of which nobody can tell the right one.
        """
        self._check_size(columns, group)
        with _readable(self._source):
            if group is None:
                return self._file.read(columns=list(columns)).select(columns)
            return self._file.read_row_group(group, columns=list(columns)).select(columns)

    def _check_size(self, columns: Sequence[str], group: int | None) -> None:
        there = Counter(self.names)
        if twice := [name for name in columns if there[name] > 1]:
            raise RecordError(f"has {there[twice[0]]} columns named '{twice[0]:.80}', expected one")
        below = tuple(f"{name}." for name in columns)
        wanted = [i for i, path in enumerate(self._leaves) if path in columns or path.startswith(below)]
        num_bytes = num_values = 0
        for rows in self._footer.groups if group is None else [self._footer.groups[group]]:
            num_bytes += sum(rows.chunks[i].num_bytes for i in wanted)
            num_values += sum(max(rows.chunks[i].num_values, rows.num_rows) for i in wanted)
        if num_bytes > MAX_BYTES or num_values > MAX_VALUES:
            raise RecordError(
                f"unpacks to {num_values} values in {num_bytes} bytes, expected {MAX_VALUES} in {MAX_BYTES} at most"
            )


@contextmanager
def _readable(source: Path | bytes) -> Iterator[None]:
    """Say that a file is not readable, whoever found it; what is the machine's fault passes."""
    try:
        yield
    except MemoryError:  # Arrow's is an ArrowException, too
        raise
    except (pa.ArrowException, OSError, ValueError) as error:  # a FooterError is one, a name that is no UTF-8 another
        if is_of_the_machine(error):
            raise
        reason = f"not a readable parquet file ({one_line((str(error).splitlines() or [type(error).__name__])[0])})"
        raise RecordError(
            reason if isinstance(source, bytes) else lfs.why_file(source, f"{reason}; copy it again")
        ) from error
