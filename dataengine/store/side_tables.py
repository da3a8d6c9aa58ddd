"""The tables beside the episodes that other commands write: runs and statistics."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

import lance
import pyarrow as pa

from dataengine.schema import RUNS, SCHEMA_VERSION, VERSION_KEY
from dataengine.store.tables import FILE_VERSION, all_files, exists, open_table, settle, table_uri, upsert


def new_run_id() -> str:
    """Name a run so that names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


def append_run(corpus: str, run: Mapping[str, object]) -> None:
    """Add one row to runs.lance; keys that are no column go into `counts`, mappings become JSON."""
    known = {name: run[name] for name in RUNS.names if name in run}
    config, counts = known.pop("config", {}), known.pop("counts", {})
    others = {key: value for key, value in run.items() if key not in RUNS.names}
    row = {
        "run_id": new_run_id(),
        "started_at": datetime.now(UTC),
        **known,
        "config": config if isinstance(config, str) else json.dumps(config, default=str),
        "counts": json.dumps({**(counts if isinstance(counts, Mapping) else {}), **others}, default=str),
    }
    upsert(corpus, "runs", [row], replace=True)


def read_stats(corpus: str, version: int | None = None) -> pa.Table | None:
    """Read the statistics, or None if there are none yet."""
    return open_table(corpus, "stats", version).to_table() if exists(corpus, "stats") else None


def write_stats(corpus: str, stats: pa.Table) -> None:
    """Replace the statistics as a new version of their table."""
    metadata = {**(stats.schema.metadata or {}), VERSION_KEY: str(SCHEMA_VERSION)}
    written = lance.write_dataset(
        stats.replace_schema_metadata(metadata),
        table_uri(corpus, "stats"),
        mode="overwrite",
        data_storage_version=FILE_VERSION,
    )
    settle(written, all_files(written))
