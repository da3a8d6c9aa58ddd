"""Snapshots: a name for the state of every table at one moment, which later commands can read and nobody can change.

A row of `snapshots.lance` is the snapshot: its key makes the name exist once, also when two commands claim it at once.
The tags that keep Lance's cleanup away from its versions come after; whoever dies in between leaves that to `protect`,
which runs before anything is removed.
"""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import lance
import pyarrow as pa
import pyarrow.compute as pc

from dataengine.digest import hex_digest, number_of
from dataengine.errors import CorpusError
from dataengine.naming import did_you_mean
from dataengine.schema import KEEP, SNAPSHOTS
from dataengine.store.kept import KEPT, Kept
from dataengine.store.tables import SIDE_TABLES, create_tables, exists, open_table, upsert
from dataengine.windows.mixture import Mixture

HAS_VECTORS: Final = "state_dim > 0 OR action_dim > 0"
"""Episodes of robots that tell what they felt or did."""

_AS_JSON: Final = {"versions", "datasets", "mixture"}

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One row of `snapshots.lance`."""

    name: str
    created_at: datetime
    versions: dict[str, int]
    """Version of each table."""
    filter: str
    """Which episodes count, in SQL; empty for all."""
    episodes: int
    steps: int
    """Of those episodes, without what curation trimmed."""
    datasets: dict[str, int]
    """Episodes of each dataset."""
    content_hash: str
    """Of the sorted ids of its episodes."""
    mixture: dict[str, Any] | None = None
    """Settings of the mixture that trainings of it take by default; None for every dataset by its frames."""


def take(corpus: str, name: str, mixture: Mixture | None = None) -> Snapshot:
    """Name the present state of every table, and a mixture; raise CorpusError if the name is taken."""
    create_tables(corpus)  # the table of snapshots may be younger than the corpus
    _complete(corpus)
    protect(corpus)
    if not NAME.fullmatch(name) or name == "now":
        raise CorpusError(f"snapshot '{name}': expected a letter and then letters, digits, '.', '_' or '-'; not 'now'")
    table = open_table(corpus, "episodes")
    taken = {snapshot.name for snapshot in listed(corpus)}
    if name in taken or name in table.tags.list():
        what = "a snapshot" if name in taken else "a tag of episodes.lance"
        raise CorpusError(f"{corpus}: there is {what} '{name}' already; a snapshot never changes, take another name")
    versions = {side: open_table(corpus, side).version for side in _sides(corpus)}
    kept = Kept(table)
    rows = kept.table(["episode_id", "dataset", "num_steps", *kept.trims])
    steps = sum(rows["num_steps"].to_pylist()) - sum(pc.sum(rows[trim]).as_py() or 0 for trim in kept.trims)
    snapshot = Snapshot(
        name=name,
        created_at=datetime.now(UTC),
        versions={"episodes": table.version, **versions},
        filter=KEPT if KEEP in table.schema.names else "",
        episodes=len(rows),
        steps=steps,
        datasets=dict(sorted(Counter(rows["dataset"].to_pylist()).items())),
        content_hash=content_hash(rows["episode_id"]),
        mixture=mixture.model_dump(mode="json") if mixture is not None else None,
    )
    upsert(corpus, "snapshots", [_row(snapshot)], replace=False)
    if find(corpus, name) != snapshot:
        raise CorpusError(f"{corpus}: another command took the name '{name}' just now; take another name")
    protect(corpus)
    return snapshot


def listed(corpus: str) -> list[Snapshot]:
    """List every snapshot, oldest first."""
    if not exists(corpus, "snapshots"):
        return []
    rows = open_table(corpus, "snapshots").to_table().sort_by("created_at").to_pylist()
    return [
        Snapshot(**{**row, **{key: json.loads(row[key] or "null") for key in _AS_JSON & row.keys()}}) for row in rows
    ]


def find(corpus: str, name: str) -> Snapshot:
    """Look a snapshot up by its name; raise CorpusError that tells which there are."""
    known = {snapshot.name: snapshot for snapshot in listed(corpus)}
    if name not in known:
        hint = did_you_mean(name, known)
        raise CorpusError(f"{corpus}: no snapshot '{name}' (`villa corpus snapshot` takes one); {hint}")
    return known[name]


def protect(corpus: str) -> None:
    """Tag the versions of every snapshot in every table, so that no cleanup removes them."""
    wanted = [(name, snapshot) for snapshot in listed(corpus) for name in snapshot.versions]
    for name in {name for name, _ in wanted}:
        table = open_table(corpus, name)
        tags = table.tags.list()
        for snapshot in (snapshot for side, snapshot in wanted if side == name and snapshot.name not in tags):
            with contextlib.suppress(ValueError):  # tagged just now by another command, or gone: `verify` tells
                table.tags.create(snapshot.name, snapshot.versions[name])


def content_hash(episode_ids: pa.ChunkedArray | Iterable[str]) -> str:
    """Hash which episodes these are, whatever their order: 32 hex digits."""
    ids = episode_ids.to_pylist() if isinstance(episode_ids, pa.ChunkedArray) else episode_ids
    return hex_digest("\n".join(sorted(ids)), 16)


def robots_hash(table: lance.LanceDataset) -> str:
    """Hash the kept episodes that have a state or action, with the steps of them that count: 32 hex digits."""
    kept = Kept(table, where=HAS_VECTORS)
    total = 0  # a sum of hashes: whatever the order of rows, and without holding them
    for batch in kept.batches(["episode_id", "num_steps", *kept.trims]):
        cuts = [batch[trim].fill_null(0).to_pylist() for trim in kept.trims]
        for row in zip(batch["episode_id"].to_pylist(), batch["num_steps"].to_pylist(), *cuts, strict=True):
            total += number_of(repr((*row, 0, 0)[:4]), 16)
    return f"{total % 2**128:032x}"


def _sides(corpus: str) -> list[str]:
    """Tables that a snapshot covers beside the episodes; not the one it is written down in."""
    return [name for name in (*SIDE_TABLES, "stats") if name != "snapshots" and exists(corpus, name)]


def _complete(corpus: str) -> None:
    """Add columns that snapshots of an older villa lack."""
    table = open_table(corpus, "snapshots")
    missing = [field for field in SNAPSHOTS if field.name not in table.schema.names]
    if missing:
        table.add_columns(pa.schema(missing))


def _row(snapshot: Snapshot) -> dict[str, Any]:
    row = vars(snapshot)
    return row | {key: json.dumps(row[key]) for key in _AS_JSON if row[key] is not None}
