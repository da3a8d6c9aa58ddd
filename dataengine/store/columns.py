"""Label and quality columns: added as NULLs without touching a row, then filled fragment by fragment.

Either step may run beside an ingest or a compaction. A fragment that somebody else changed in the meantime is a
conflict: look again, apply again. Rows are found by their stable id.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataengine.errors import CorpusError
from dataengine.storage import make_durable
from dataengine.store.tables import EPISODES, first_line, is_conflict, open_table, settle

MAX_TRIES: Final = 50


def ensure_columns(corpus: str, wanted: pa.Schema) -> None:
    """Add the columns that are missing; raise CorpusError if one is there with another type or origin."""

    def add(table: lance.LanceDataset) -> None:
        missing = []
        for field in wanted:
            if field.name not in table.schema.names:
                missing.append(field)
                continue
            held = table.schema.field(field.name)
            if held.type != field.type or (held.metadata or {}) != (field.metadata or {}):
                raise CorpusError(
                    f"{corpus}: column '{field.name}' exists as {_say(held)}, expected {_say(field)}; use another name"
                )
        if missing:
            table.add_columns(pa.schema(missing))
            settle(table, [])

    _retry(corpus, add)


def complete(corpus: str) -> None:
    """Add what an older villa's episodes lack, as NULLs, so that rows of today can be appended."""

    def add(table: lance.LanceDataset) -> None:
        missing = [field for field in EPISODES if field.name not in table.schema.names]
        if missing:
            table.add_columns(pa.schema(missing))
            settle(table, [])

    _retry(corpus, add)


def update_fragment(corpus: str, fragment_id: int, values: pa.Table) -> None:
    """Write the columns of `values` for the rows that its `_rowid` names; they are found wherever they lie by now."""

    def update(table: lance.LanceDataset) -> None:
        fragment = table.get_fragment(fragment_id)
        pieces = {fragment_id: values} if fragment is not None else _where(table, values)
        changed, fields, files = [], [], set()
        for fragment_number, piece in pieces.items():
            before = table.get_fragment(fragment_number)
            after, fields = before.update_columns(piece)
            changed.append(after)
            files |= {file.path for file in after.files} - {file.path for file in before.data_files()}
        make_durable(f"{table.uri}/data/{file}" for file in files)
        operation = lance.LanceOperation.Update(updated_fragments=changed, fields_modified=fields)
        settle(lance.LanceDataset.commit(table.uri, operation, read_version=table.version), [])

    _retry(corpus, update)


def files(table: lance.LanceDataset, fragment: lance.LanceFragment, names: Sequence[str]) -> list[str]:
    """Name the files of a fragment that hold some columns, and of its deletions. Lance never writes a file twice."""
    wanted = {number for field in table.lance_schema.fields() if field.name() in names for number in _numbers(field)}
    paths = sorted(file.path for file in fragment.metadata.files if wanted.intersection(file.fields))
    deleted = fragment.deletion_file()
    return [*paths, deleted] if deleted else paths


def layout(table: lance.LanceDataset, names: Sequence[str]) -> list[str]:
    """Name, in the order of rows, the files of a whole table that hold some columns, and its deletions.

    They say what its rows are: equal files are equal rows in equal places, whatever else was written since.
    """
    wanted = {number for field in table.lance_schema.fields() if field.name() in names for number in _numbers(field)}
    files = []
    for fragment in table.get_fragments():
        files += sorted(file.path for file in fragment.metadata.files if wanted.intersection(file.fields))
        files.append(fragment.deletion_file() or "")
    return files


def _numbers(field: Any) -> list[int]:
    """List a column's number and those of what it is made of; its file names some of them only."""
    return [field.id(), *(number for child in field.children() for number in _numbers(child))]


def _where(table: lance.LanceDataset, values: pa.Table) -> dict[int, pa.Table]:
    """Split values by the fragments that hold their rows after a compaction."""
    rows = table.scanner(columns=[], with_row_id=True, with_row_address=True).to_table()
    mine = pc.is_in(rows["_rowid"], value_set=values["_rowid"].combine_chunks())
    rows = rows.filter(mine)
    if len(rows) < len(values):
        raise CorpusError(f"{table.uri}: {len(values) - len(rows)} of {len(values)} rows are gone; run it again")
    fragments = dict(zip(rows["_rowid"].to_pylist(), (rows["_rowaddr"].to_numpy() >> 32).tolist(), strict=True))
    held = np.array([fragments[row] for row in values["_rowid"].to_pylist()])
    return {int(fragment): values.filter(pa.array(held == fragment)) for fragment in np.unique(held)}


def _retry(corpus: str, change: Callable[[lance.LanceDataset], None]) -> None:
    """Apply a change to the latest version until nobody comes between."""
    for attempt in range(MAX_TRIES):
        try:
            change(open_table(corpus, "episodes"))
            return
        except OSError as error:
            if not is_conflict(error):
                raise
            failure = error
            time.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 7)))
    raise CorpusError(f"{corpus}: lost {MAX_TRIES} races for a commit: {first_line(failure)}") from failure


def _say(field: pa.Field) -> str:
    origin = ", ".join(f"{k.decode()}={v.decode()}" for k, v in sorted((field.metadata or {}).items()))
    return f"{field.type}" + (f" ({origin})" if origin else "")
