"""Files that appear whole or not at all: whoever reads one finds the old bytes or the new ones, never a part."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".partial"


@contextmanager
def whole_file(path: Path, *, aside: Path | None = None, durable: bool = False) -> Iterator[Path]:
    """Name a file to write, which takes the place of `path` when the block ends and goes when it fails.

    It lies beside `path`, hidden, or in the folder `aside` of the same disk; its name has the process in it, so that
    two may write one file. `durable` has the disk keep bytes and name even if the power goes right after.
    """
    folder = aside or path.parent
    for made in {folder, path.parent}:
        made.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{path.name.lstrip('.')}.{os.getpid()}{SUFFIX}"
    try:
        yield partial
        if durable:
            flush(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    if durable:
        flush(path.parent)


def write_whole(path: Path, data: str | bytes, *, durable: bool = False) -> None:
    """Write text as UTF-8, or bytes."""
    with whole_file(path, durable=durable) as partial:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)


def is_partial(name: str) -> bool:
    """Tell by its name what a killed process left of a file that it was writing."""
    return name.startswith(".") and name.endswith(SUFFIX)


def flush(path: Path) -> None:
    """Put a file, or a folder's names, on the disk before it is relied on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
