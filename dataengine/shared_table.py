"""Tables that are made once and shared by the processes of a machine: an Arrow file that each of them maps.

They lie below the user's cache folder (`$XDG_CACHE_HOME/villa-engine/tables`, else `~/.cache/...`) under a key that
says what they were made of. Processes that want the same table at once wait for the first of them. A file that is
damaged is made again, one that nobody has opened for a month goes when another is made, and where none can be written
every process makes the table for itself, in its own memory.
"""

import contextlib
import fcntl
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from dataengine.digest import stable_id
from dataengine.formats import tar
from dataengine.whole_file import whole_file

MIN_ROWS: Final = 20_000
"""Smaller tables are made in a second: a file would not pay."""
UNUSED_S: Final = 30 * 24 * 3600
NO_CACHE: Final = (OSError, RuntimeError)
"""No right to write, no room, no locks, or no home."""
VERSION: Final = "1"
"""Of what the tables of this tool look like."""
_TAIL: Final = 12
_MARK: Final = b"villatab"


def shared_table(key: str, num_rows: int, make: Callable[[], pa.Table]) -> pa.Table:
    """Give the table that `make` makes, of about so many rows, each column in one piece; `key` says what it is."""
    if num_rows < MIN_ROWS:
        return make().combine_chunks()
    try:
        path = folder() / f"{stable_id(VERSION, key)}.arrow"
    except RuntimeError:  # no home
        return make().combine_chunks()
    if (table := _read(path)) is not None:
        return table
    with contextlib.ExitStack() as alone:
        with contextlib.suppress(*NO_CACHE):
            alone.enter_context(_locked(path))
        if (table := _read(path)) is not None:
            return table
        made = make().combine_chunks()
        with contextlib.suppress(*NO_CACHE):
            _write(path, made)
            table = _read(path)
        return made if table is None else table


def folder() -> Path:
    """Where the files lie."""
    return tar.cache_folder().with_name("tables")


def _read(path: Path) -> pa.Table | None:
    """Map a table; None where there is none, or one that is damaged."""
    try:
        with pa.memory_map(str(path)) as file:
            buffer = file.read_buffer()
    except OSError:
        return None
    size = buffer.size - _TAIL
    tail = buffer.slice(max(size, 0)).to_pybytes()
    if size <= 0 or tail[: len(_MARK)] != _MARK:
        return None
    body = buffer.slice(0, size)
    if zlib.crc32(memoryview(body)).to_bytes(4, "little") != tail[len(_MARK) :]:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return pa.ipc.open_file(pa.BufferReader(body)).read_all()


def _write(path: Path, table: pa.Table) -> None:
    """Write a table and its checksum; what has not been used for long makes room."""
    for old in path.parent.glob("*.arrow"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > UNUSED_S:
                old.unlink()
    with whole_file(path) as partial:
        with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        with pa.memory_map(str(partial)) as file:
            checksum = zlib.crc32(memoryview(file.read_buffer()))
        with partial.open("ab") as tail:
            tail.write(_MARK + checksum.to_bytes(4, "little"))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
