"""What a parquet file holds, by its footer: a few bytes may stand for a column of a billion equal numbers."""

from collections import Counter
from collections.abc import Collection, Iterable

import pyarrow.parquet as pq

from dataengine.errors import RecordError

MAX_BYTES = 2**30
"""Of the pages of what is read at once: an episode with its pictures, or a group of rows, has some 100 MB."""
MAX_VALUES = 2**27
"""Of numbers at once: 1 GiB in memory."""


def check(file: pq.ParquetFile, columns: Collection[str], groups: Iterable[int] | None = None) -> None:
    """Raise RecordError when some columns of some groups of rows, or of all, unpack to more than is read at once.

    Also when a name stands for two of the columns, of which nobody can tell the right one.
    """
    there = Counter(file.schema_arrow.names)
    if twice := [name for name in columns if there[name] > 1]:
        raise RecordError(f"has {there[twice[0]]} columns named '{twice[0]:.80}', expected one")
    about = file.metadata
    num_bytes = num_values = 0
    for group in range(about.num_row_groups) if groups is None else groups:
        rows = about.row_group(group)
        for i in range(rows.num_columns):
            column = rows.column(i)
            path = column.path_in_schema  # `observation.state.list.element` of the column `observation.state`
            if path in columns or any(path.startswith(f"{name}.") for name in columns):
                num_bytes += max(column.total_uncompressed_size, column.total_compressed_size)
                num_values += max(column.num_values, rows.num_rows)
    if num_bytes > MAX_BYTES or num_values > MAX_VALUES:
        raise RecordError(
            f"unpacks to {num_values} values in {num_bytes} bytes, expected {MAX_VALUES} in {MAX_BYTES} at most"
        )
