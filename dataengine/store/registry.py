"""Datasets and embodiments by stable integer ids: never renumbered, never given twice."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dataengine.errors import CorpusError
from dataengine.store.tables import open_table, upsert

Registry = Literal["datasets", "embodiments"]

MAX_TRIES = 100


def ids(corpus: str, registry: Registry, version: int | None = None) -> dict[str, int]:
    """Every name with its id, from 1."""
    return {name: row["id"] for name, row in _rows(corpus, registry, version).items()}


def register(corpus: str, registry: Registry, entries: Sequence[Mapping[str, object]]) -> dict[str, int]:
    """Give each entry (with a `name`) an id, unless its name has one; return all ids.

    A name whose description was forgotten, or never told, takes that of its entry.

    The id is the table's key: of two processes that claim the same next id one inserts nothing, sees that its name
    is still missing, and tries the one after.
    """
    for entry in entries:
        for _ in range(MAX_TRIES):
            known = _rows(corpus, registry)
            mine = known.get(str(entry["name"]))
            if mine and (mine["kind"] or not entry.get("kind")):
                break
            number = mine["id"] if mine else max((row["id"] for row in known.values()), default=0) + 1
            upsert(corpus, registry, [{"id": number, **entry}], replace=mine is not None)
        else:
            raise CorpusError(f"{corpus}: could not register '{entry['name']}' in {registry} in {MAX_TRIES} tries")
    return ids(corpus, registry)


def forget_description(corpus: str, registry: Registry, name: str) -> None:
    """Keep a name's id and nothing else of it, for the next `register` to describe it anew."""
    row = _rows(corpus, registry).get(name)
    if row and row["kind"]:
        upsert(corpus, registry, [{"id": row["id"], "name": name}], replace=True)


def _rows(corpus: str, registry: Registry, version: int | None = None) -> dict[str, dict[str, Any]]:
    """Id and kind of every name, the lowest id where a name has two."""
    rows = open_table(corpus, registry, version).to_table(["id", "name", "kind"]).sort_by("id").to_pylist()
    return {row["name"]: row for row in reversed(rows)}
