"""Removes old versions and the files that only they name, where nobody can miss them.

Kept are: the newest version, versions of snapshots (they are tagged), files of staged parts, and files that no version
names until they are a week old, for a worker may be about to commit them. An age below an hour is refused: a committer
that read a version just before it was removed would not be told of conflicts with others that are removed.
"""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import lance

from dataengine.errors import CorpusError
from dataengine.storage import Folder
from dataengine.store import snapshots
from dataengine.store.tables import SIDE_TABLES, exists, open_table

LEAST_AGE: Final = timedelta(hours=1)

STAGED_FOR_LONG: Final = timedelta(days=6)
"""Lance takes a file that no version names for abandoned after seven days; a receipt is younger than its files."""


@dataclass
class Cleaned:
    """What was removed, or would be."""

    versions: int = 0
    files: int = 0
    num_bytes: int = 0


def check(corpus: str, older_than: timedelta) -> None:
    """Raise CorpusError when to remove versions of this age might harm somebody."""
    if older_than < LEAST_AGE:
        raise CorpusError(f"versions younger than 1h may be in use, found {older_than}; give at least 1h")
    staged = {n: at for n, at in Folder(f"{corpus}/_staging").modified_ns().items() if n.endswith(".json")}
    waiting = sum(at < time.time_ns() - STAGED_FOR_LONG.total_seconds() * 1e9 for at in staged.values())
    if waiting:
        raise CorpusError(
            f"{corpus}: {waiting} parts were read more than 6 days ago and never committed; run their ingest again, "
            "or delete their receipts in _staging, before old versions are removed"
        )


def clean(corpus: str, older_than: timedelta, *, dry_run: bool = False) -> Cleaned:
    """Remove versions older than `older_than`, in every table of the corpus."""
    check(corpus, older_than)
    if not dry_run:
        snapshots.protect(corpus)
    done = Cleaned()
    for name in ("episodes", *SIDE_TABLES, "stats"):
        if exists(corpus, name):
            table = open_table(corpus, name)
            stats = _explain(table, older_than) if dry_run else _clean(table, older_than)
            done.versions += stats.old_versions
            done.files += stats.data_files_removed + stats.deletion_files_removed
            done.num_bytes += stats.bytes_removed
    return done


def _clean(table: lance.LanceDataset, older_than: timedelta) -> lance.CleanupStats:
    return table.cleanup_old_versions(older_than, error_if_tagged_old_versions=False)


def _explain(table: lance.LanceDataset, older_than: timedelta) -> lance.CleanupStats:
    return table.explain_cleanup_old_versions(older_than, error_if_tagged_old_versions=False).stats
