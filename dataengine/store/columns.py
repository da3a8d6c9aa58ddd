"""Label and quality columns: added as NULLs without touching a row, then filled fragment by fragment.

Either step may run beside an ingest. A fragment that somebody else changed in the meantime is a conflict: look again,
apply again. Rows are found by their stable id.
"""

import random
import time
from collections.abc import Callable
from typing import Final

import lance
import pyarrow as pa

from dataengine.errors import CorpusError
from dataengine.store.places import table_uri
from dataengine.store.tables import first_line, is_conflict, open_table

MAX_TRIES: Final = 50


def ensure_columns(corpus: str, wanted: pa.Schema) -> None:
    """Add the columns that are missing; raise CorpusError if one is there with another type or origin."""

    def add(table: lance.LanceDataset) -> None:
        missing = []
        for field in wanted:
            if field.name not in table.schema.names:
                missing.append(field)
                continue
            found = table.schema.field(field.name)
            if found.type != field.type or (found.metadata or {}) != (field.metadata or {}):
                raise CorpusError(
                    f"{corpus}: column '{field.name}' exists as {_say(found)}, expected {_say(field)}; use another name"
                )
        if missing:
            table.add_columns(pa.schema(missing))

    _retry(corpus, add)


def update_fragment(corpus: str, fragment_id: int, values: pa.Table) -> None:
    """Write the columns of `values` for the rows that its `_rowid` names."""

    def update(table: lance.LanceDataset) -> None:
        fragment = table.get_fragment(fragment_id)
        if fragment is None:
            raise CorpusError(f"{corpus}: fragment {fragment_id} is gone, the table was compacted; run it again")
        changed, fields = fragment.update_columns(values)
        operation = lance.LanceOperation.Update(updated_fragments=[changed], fields_modified=fields)
        lance.LanceDataset.commit(table_uri(corpus, "episodes"), operation, read_version=table.version)

    _retry(corpus, update)


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
