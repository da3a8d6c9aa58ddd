"""Texts of many episodes at once, of a million in seconds: equal ones are made once and shared."""

from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from dataengine.episode import Text
from dataengine.texts import whole_episode

SHARED = 100_000
"""Different texts that are remembered."""


def read_texts(table: pa.Table) -> list[tuple[Text, ...]]:
    """Give the texts of each row of a table with `instruction`, `num_steps` and, unless it is an older one, `texts`."""
    steps = table["num_steps"].to_pylist()
    if "texts" not in table.column_names:
        return [whole_episode(said or (), n) for said, n in zip(table["instruction"].to_pylist(), steps, strict=True)]
    column = _whole(table["texts"])
    spans = column.flatten()
    phrases = pc.struct_field(spans, "phrases")
    flat_phrases = iter(phrases.flatten().to_pylist())
    made = lru_cache(SHARED)(Text)
    flat = [
        made(start, end, tuple([next(flat_phrases) for _ in range(count)]))
        for start, end, count in zip(
            pc.struct_field(spans, "start").to_pylist(),
            pc.struct_field(spans, "end").to_pylist(),
            pc.list_value_length(phrases).fill_null(0).to_pylist(),
            strict=True,
        )
    ]
    shared = lru_cache(SHARED)(lambda *rows: rows)
    rows, first = [], 0
    for count in pc.list_value_length(column).fill_null(0).to_pylist():
        rows.append(shared(*flat[first : first + count]))
        first += count
    if column.null_count:  # rows that an older villa wrote
        old = pc.is_null(column).to_pylist()
        said = table["instruction"].to_pylist()
        rows = [whole_episode(said[i] or (), steps[i]) if old[i] else texts for i, texts in enumerate(rows)]
    return rows


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
