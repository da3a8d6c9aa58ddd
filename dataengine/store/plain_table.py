"""Tables beside a corpus: written once, read by anything that reads Lance."""

import shutil
import uuid
from pathlib import Path

import lance
import pyarrow as pa

from dataengine.errors import DataEngineError
from dataengine.store.tables import FILE_VERSION, first_line


def read_plain_table(path: str | Path, without: tuple[str, ...] = ()) -> pa.Table:
    """Read a Lance table of this machine, but for columns whose names start so; raise DataEngineError if it is none."""
    try:
        table = lance.dataset(str(path))
        names = [name for name in table.schema.names if not name.startswith(without)]
        return table.to_table(columns=names)
    except (OSError, ValueError) as error:
        raise DataEngineError(f"{path}: cannot be read as a Lance table ({first_line(error)})") from error


def write_plain_table(path: str | Path, rows: pa.Table) -> None:
    """Write a new Lance table on this machine; it appears whole or not at all, and overwrites nothing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        lance.write_dataset(rows, str(draft), data_storage_version=FILE_VERSION)
        draft.rename(path)
    except OSError as error:
        raise DataEngineError(f"{path}: cannot be written ({error})") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
