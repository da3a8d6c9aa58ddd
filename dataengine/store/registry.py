"""Datasets and embodiments by stable integer ids: never renumbered, never given twice."""

from collections.abc import Mapping, Sequence
from typing import Literal

from dataengine.errors import CorpusError
from dataengine.store.tables import open_table, upsert

Registry = Literal["datasets", "embodiments"]

MAX_TRIES = 100


def ids(corpus: str, registry: Registry, version: int | None = None) -> dict[str, int]:
    """Every name with its id, from 1."""
    rows = open_table(corpus, registry, version).to_table(["id", "name"]).sort_by("id").to_pylist()
    return {row["name"]: row["id"] for row in reversed(rows)}


def register(corpus: str, registry: Registry, entries: Sequence[Mapping[str, object]]) -> dict[str, int]:
    """Give each entry (with a `name`) an id, unless its name has one; return all ids.

    The id is the table's key: of two processes that claim the same next id one inserts nothing, sees that its name
    is still missing, and tries the one after.
    """
    for entry in entries:
        for _ in range(MAX_TRIES):
            known = ids(corpus, registry)
            if entry["name"] in known:
                break
            upsert(corpus, registry, [{"id": max(known.values(), default=0) + 1, **entry}], replace=False)
        else:
            raise CorpusError(f"{corpus}: could not register '{entry['name']}' in {registry} in {MAX_TRIES} tries")
    return ids(corpus, registry)
