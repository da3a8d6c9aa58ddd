"""Pointers of Git LFS: what a clone holds in place of large files until `git lfs pull` has fetched them.

Readers ask only once a file cannot be read: a pointer of three lines is no video, parquet file or archive.
"""

from pathlib import Path
from typing import Final

from dataengine.formats.byte_range import ByteRange, Location

START: Final = b"version https://git-lfs.github.com/spec/"
ADVICE: Final = "this is a Git LFS pointer, not the file itself; run `git lfs pull` in the clone"


def why(data: bytes, otherwise: str) -> str:
    """Say that bytes are a pointer, or else what is wrong with them."""
    return ADVICE if data.startswith(START) else otherwise


def why_file(location: Location, otherwise: str) -> str:
    """Say of a file on a disk, or within an archive, what `why` says of its bytes."""
    try:
        with location.open() if isinstance(location, ByteRange) else Path(location).open("rb") as file:
            return why(file.read(len(START)), otherwise)
    except OSError:
        return otherwise
