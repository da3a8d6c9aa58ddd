"""Columns of lists, read by rows when they are wanted: those of many rows in one go, the latest kept in memory."""

from collections.abc import Sequence
from typing import Any, Final

import lance
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.bounded import Bounded

BYTES_HELD: Final = 64_000_000
"""Of one reader; a small corpus is read once."""

Cell = NDArray[Any] | None
"""What a row holds, flat; None for NULL."""


class ListColumns:
    """Reads rows of one version of a table."""

    def __init__(self, table: lance.LanceDataset, max_bytes: int = BYTES_HELD) -> None:
        self._table = table
        self._held = Bounded[tuple[str, int], Cell](max_bytes)

    def get(self, name: str, row: int) -> Cell:
        """Give what one row of a column holds."""
        return self.fetch([name], [row])[name, row]

    def fetch(self, names: Sequence[str], rows: Sequence[int]) -> dict[tuple[str, int], Cell]:
        """Give what some rows of some columns hold; what is not in memory comes in one read."""
        wanted = [(name, row) for row in dict.fromkeys(rows) for name in names]
        cells = self._held.get(wanted)
        missing = sorted({row for name, row in wanted if (name, row) not in cells})
        if missing:
            table = self._table.take(missing, columns=list(names))
            new = {(n, row): cell for n in names for row, cell in zip(missing, _cells(table[n]), strict=True)}
            self._held.keep(new)
            cells |= new
        return cells


def _cells(column: pa.ChunkedArray) -> list[Cell]:
    """Copy each row: a view would keep the rows that were read with it."""
    cells: list[Cell] = []
    for chunk in column.chunks:
        values, ends = chunk.values.to_numpy(zero_copy_only=False), chunk.offsets.to_numpy()
        valid = chunk.is_valid().to_pylist()
        cells += [values[ends[i] : ends[i + 1]].copy() if there else None for i, there in enumerate(valid)]
    return cells
