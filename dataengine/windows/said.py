"""Texts of many episodes at once, of a million in seconds: equal ones are made once and shared."""

from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataengine import texts
from dataengine.episode import Text
from dataengine.texts import whole_episode
from dataengine.windows.episode_columns import WHOLE, spell

SHARED = 100_000
"""Different texts that are remembered."""
_AS_IT_IS: Final = r"^[ !#-\[\]-~]*$"
"""Phrases that JSON holds letter by letter: ASCII without quotes, backslashes and control characters."""


def spell_texts(table: pa.Table, head: NDArray[np.int64], steps: NDArray[np.int64]) -> pa.Array:
    """Write the texts of each row as `spell` does, of its `steps` from `head` on.

    One plain phrase for the whole of an episode, as nearly all have, is never a Python object.
    """
    plain = _one_phrase(table)
    odd = pc.is_null(plain).to_numpy(zero_copy_only=False)
    if not odd.any():
        return plain
    rest, first, count = table.filter(pa.array(odd)), head[odd].tolist(), steps[odd].tolist()
    whole = rest["num_steps"].to_pylist()
    spelt = []
    for said, start, n, of in zip(read_texts(rest), first, count, whole, strict=True):
        spelt.append(spell(said if n == of else texts.cut(said, start, start + n), n))
    return pc.replace_with_mask(plain, pa.array(odd), pa.array(spelt, pa.string()))


def _one_phrase(table: pa.Table) -> pa.Array:
    """Write texts of one plain phrase that holds for the whole of an episode; null in place of others."""
    if "texts" not in table.column_names or not len(table):
        return pa.nulls(len(table), pa.string())
    column = _whole(table["texts"])
    one = _numbers(pc.equal(pc.list_value_length(column), 1))
    spans = column.filter(pa.array(one)).flatten()
    start, end, phrases = (pc.struct_field(spans, name) for name in ("start", "end", "phrases"))
    good = (start.fill_null(-1).to_numpy() == 0) & (_numbers(end) == table["num_steps"].to_numpy()[one])
    good &= _numbers(pc.equal(pc.list_value_length(phrases), 1))
    said = phrases.filter(pa.array(good)).flatten()
    plain = pc.match_substring_regex(said, _AS_IT_IS)
    spelt = pc.binary_join_element_wise(f'[[0,{WHOLE},"', pc.if_else(plain, said, None), '"]]', "")
    where = np.flatnonzero(one)[good]
    mask = np.zeros(len(table), np.bool_)
    mask[where] = True
    return pc.replace_with_mask(pa.nulls(len(table), pa.string()), pa.array(mask), spelt)


def _numbers(column: pa.Array) -> NDArray[Any]:
    """Give values of an array, with false or nought for null."""
    return column.fill_null(0 if pa.types.is_integer(column.type) else False).to_numpy(zero_copy_only=False)


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
