"""Large JSON of which few fields matter, read straight into them: 350 MB of narrations need 600 MB, not 3 GB."""

import codecs
from pathlib import Path
from typing import TypeVar

import msgspec

from dataengine.errors import SourceError
from dataengine.formats import lfs
from dataengine.reading import is_of_the_machine

MAX_BYTES = 2**32
"""Ego4D's fho_main.json, the largest known, has some hundred MB."""

T = TypeVar("T")


def read(path: Path, kind: type[T], publisher: str) -> T:
    """Return what a file holds as a `kind`; raise SourceError, in one line, when it is missing or something else."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SourceError(f"{path}: has {path.stat().st_size} bytes, expected {MAX_BYTES} at most")
        data = path.read_bytes()
    except OSError as error:
        if is_of_the_machine(error):
            raise
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    try:
        return msgspec.json.decode(_as_utf8(data), type=kind)
    except RecursionError as error:
        raise SourceError(f"{path}: not JSON that is read: objects lie too deep in one another") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise SourceError(f"{path}: {lfs.why(data, f'not the JSON that {publisher} ships ({error})')}") from error


def _as_utf8(data: bytes) -> bytes | memoryview:
    """Take away the mark that an editor put in front; what it saved as UTF-16 is recoded."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16").encode()
    return memoryview(data)[len(codecs.BOM_UTF8) :] if data.startswith(codecs.BOM_UTF8) else data
