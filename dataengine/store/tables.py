"""Opens and creates the Lance tables of a corpus."""

import errno
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import lance
import pyarrow as pa
from lance.commit import CommitConflictError
from lance.optimize import Compaction

from dataengine import schema
from dataengine.errors import CorpusError, is_disk_full
from dataengine.storage import Folder, is_uri, make_durable
from dataengine.store import creation


def table_uri(corpus: str, table: str) -> str:
    """Place of one table of a corpus."""
    return f"{corpus}/{table}.lance"


FILE_VERSION: Final = "2.2"
"""Blob v2 needs it; newer ones are not for production."""

MANY_FRAGMENTS: Final = 64
"""Of a table beside the episodes: each upsert adds one, and takes a quarter of a millisecond longer for each."""

SIDE_TABLES: Final = {
    "rejects": schema.REJECTS,
    "embodiments": schema.EMBODIMENTS,
    "datasets": schema.DATASETS,
    "runs": schema.RUNS,
    "snapshots": schema.SNAPSHOTS,
}


def _blob(field: pa.Field) -> pa.Field:
    # Left to itself Lance tries to compress JPEGs: nothing gained, up to 1.8x the time of writing.
    return lance.blob_field(field.name).with_metadata({"lance-encoding:compression": "none"})


EPISODES: Final = pa.schema(
    [_blob(field) if field.name in schema.FRAMES else field for field in schema.EPISODES],
    metadata=schema.EPISODES.metadata,
)
"""`schema.EPISODES` with Lance's blobs in place of plain bytes: what is written."""


def create_tables(corpus: str) -> None:
    """Create whatever table is missing, episodes last: a corpus exists once its episodes do."""
    if all(exists(corpus, name) for name in (*SIDE_TABLES, "episodes")):
        return
    if is_uri(corpus) and not creation.is_ours(corpus, lambda: exists(corpus, "episodes")):
        return
    for name, columns in SIDE_TABLES.items():
        _create(corpus, name, columns)
    _create(corpus, "episodes", EPISODES)


def _create(corpus: str, name: str, columns: pa.Schema) -> None:
    """Create one table, unless it is there.

    Of two processes that create the same table at once, Lance lets the second overwrite the first, rows and all. On a
    disk a table is therefore made aside and moved into place, which only one of them can. An object store cannot move:
    there the creators elect one among themselves (`creation`).
    """
    if exists(corpus, name):
        return
    target = table_uri(corpus, name)
    if is_uri(corpus):
        _write_empty(columns, target)
        return
    draft = Path(corpus, "_staging", f".{name}.{uuid.uuid4().hex[:8]}.lance")
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        _write_empty(columns, str(draft))
        draft.rename(target)
    except (FileExistsError, NotADirectoryError) as error:
        if not exists(corpus, name):
            raise CorpusError(f"{corpus}: it lies at or below a file, expected a folder") from error
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:  # else another process was faster
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_empty(columns: pa.Schema, uri: str) -> None:
    lance.write_dataset(
        columns.empty_table(), uri, mode="create", data_storage_version=FILE_VERSION, enable_stable_row_ids=True
    )


def exists(corpus: str, name: str) -> bool:
    """Tell whether a corpus has a table, without opening it."""
    return not Folder(f"{table_uri(corpus, name)}/_versions").is_empty()


def open_table(corpus: str, name: str, version: int | str | None = None) -> lance.LanceDataset:
    """Open a table at its latest version, or at a version or tag; refuse one that a newer villa wrote."""
    path = table_uri(corpus, name)
    if not exists(corpus, name):
        raise CorpusError(f"{corpus}: found no {name}.lance, expected a corpus; `villa ingest` creates one")
    try:
        table = lance.dataset(path, version=version)
    except (ValueError, OSError) as error:
        torn = _torn_version(path)
        if torn:
            raise CorpusError(
                f"{path}: its newest version is an empty file, as a loss of power leaves it; move {torn} away to go "
                "back to the version before"
            ) from error
        what = path if version is None else f"{path} at version '{version}'"
        raise CorpusError(f"{what}: cannot open it: {first_line(error)}") from error
    schema.check_version(table.schema, path)
    return table


def _torn_version(uri: str) -> str | None:
    """Name the newest manifest of a table if it is empty: it was committed, but did not reach the disk."""
    sizes = Folder(f"{uri}/_versions").sizes()
    newest = min((name for name in sizes if name.endswith(".manifest")), default=None)
    return f"{uri}/_versions/{newest}" if newest and not sizes[newest] else None


def upsert(corpus: str, name: str, rows: Iterable[dict[str, object]], *, replace: bool) -> None:
    """Insert rows whose key is new, in one commit; `replace` also updates those whose key is there."""
    table = open_table(corpus, name)
    columns = SIDE_TABLES[name]
    key = columns.field(0).name
    merge = table.merge_insert(key).when_not_matched_insert_all()
    if replace:
        merge = merge.when_matched_update_all()
    data = pa.Table.from_pylist(list(rows), schema=columns)
    if len(data):
        merge.execute(data)
        settle(table, all_files(table))
        if len(table.get_fragments()) > MANY_FRAGMENTS:
            join_fragments(table)


def join_fragments(table: lance.LanceDataset) -> None:
    """Make one fragment of a small table, unless somebody writes it just now."""
    try:
        if Compaction.execute(table, {}).fragments_added:
            settle(table, all_files(table))
    except OSError as error:
        if not is_conflict(error):
            raise


def all_files(table: lance.LanceDataset) -> Iterator[str]:
    """Name every file of a version below its table, blobs aside; meant for small tables."""
    for fragment in table.get_fragments():
        yield from (f"data/{file.path}" for file in fragment.data_files())
        deletions = fragment.deletion_file()
        if deletions:
            yield deletions


def settle(table: lance.LanceDataset, files: Iterable[str]) -> None:
    """Have a disk keep files of a table and then the version that names them, which was just committed."""
    if not is_uri(table.uri):
        # Lance counts the names of its manifests downwards, so that the newest comes first.
        manifest = f"_versions/{2**64 - 1 - table.version:020d}.manifest"
        make_durable(f"{table.uri}/{file}" for file in (*files, manifest))


def first_line(error: BaseException) -> str:
    """Say an error in one line; Lance appends places in its own source."""
    return (str(error).splitlines() or [""])[0].partition(", /")[0] or type(error).__name__


def say_error(error: BaseException) -> str:
    """Say in one line what went wrong, and for a full disk what to do."""
    line = first_line(error)
    return f"the disk is full ({line}); free some space" if is_disk_full(error) else line


def is_conflict(error: BaseException) -> bool:
    """Tell whether a commit lost a race and may be tried again; compaction reports it as a plain OSError."""
    return isinstance(error, CommitConflictError) or "Retryable commit conflict" in str(error)
