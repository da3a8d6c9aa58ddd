"""JSON that somebody else wrote: read whole, but never larger, deeper or of more values than any such file needs.

Python's own reader takes 35 bytes of memory for a byte of `{"":0},`, and raises RecursionError for `[[[[...`, which is
no ValueError. Here whatever is wrong with a file is a JsonError, in one line.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from dataengine.formats import lfs, remote
from dataengine.reading import is_of_the_machine
from dataengine.storage import is_uri

MAX_BYTES = 2**27
"""Something-Something's train.json, the largest known, has 30 MB."""
MAX_LINE_BYTES = 2**24
"""Of a file of JSON lines: an episode with its tasks has some hundred."""
MAX_LINES_BYTES = 2**28
"""Of all lines of a file: a million episodes with a sentence each have 150 MB."""
MAX_LINES = 2**21
MAX_DEPTH = 100
"""features.json of nested datasets reaches 30."""
MAX_VALUES = 10_000_000
"""Commas and brackets: each stands for a value of up to 230 bytes where it opens an object, of 30 elsewhere."""
MAX_OBJECTS = 3_000_000


class JsonError(ValueError):
    """What is wrong with a file or text, without its name."""


def read(uri: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> Any:
    """Return what a file holds; raise JsonError when it is missing, may not be opened, or is not JSON within bounds."""
    with _opened(uri, max_bytes) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise JsonError(f"has more than {max_bytes} bytes, expected less")
    return loads(bytes(data))


@contextmanager
def _opened(uri: str | os.PathLike[str], max_bytes: int) -> Iterator[BinaryIO]:
    try:
        if not is_uri(uri) and (facts := remote.look(uri)) and facts.st_size > max_bytes:
            raise JsonError(f"has {facts.st_size} bytes, expected {max_bytes} at most")
        with remote.open_file(uri) as file:
            yield file
    except OSError as error:
        if is_of_the_machine(error):
            raise
        raise JsonError(f"cannot be read ({error.strerror or error})") from error


def loads(data: bytes | str) -> Any:
    """Return what a text holds; raise JsonError when it is not JSON within bounds."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    num_objects = raw.count(b"{") + raw.count(b"[")
    if num_objects > MAX_OBJECTS or num_objects + raw.count(b",") > MAX_VALUES:
        raise JsonError(f"not JSON that is read: it has more than {MAX_OBJECTS} objects or {MAX_VALUES} values")
    try:
        value = json.loads(raw)
    except RecursionError as error:
        raise JsonError(f"not JSON that is read: objects lie more than {MAX_DEPTH} deep in one another") from error
    except MemoryError as error:
        raise JsonError("not JSON that is read: it needs more memory than there is") from error
    except ValueError as error:  # of syntax, of UTF-8, or a number of thousands of digits
        raise JsonError(lfs.why(raw, f"not JSON ({error})")) from error
    _check_depth(value)
    return value


def as_object(value: Any) -> dict[str, Any]:
    """Return what was read where it is an object; raise JsonError for anything else."""
    if not isinstance(value, dict):
        raise JsonError(f"found {type(value).__name__}, expected an object")
    return value


def lines(path: Path) -> Iterator[tuple[int, Any, str]]:
    """Yield (line number, value, what is wrong with it) of a file of JSON lines; blank lines are passed over.

    Raise JsonError when it is missing, may not be opened, or is larger or longer than any such file.
    """
    with _opened(path, MAX_LINES_BYTES) as file:
        for number, line, problem in _lines(file):
            if problem:
                yield number, None, problem
                continue
            try:
                yield number, loads(line), ""
            except JsonError as error:
                yield number, None, str(error)
                if str(error) == lfs.ADVICE:  # its other lines say nothing more
                    return


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes, str]]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number > MAX_LINES:
            raise JsonError(f"has more than {MAX_LINES} lines, expected fewer")
        if len(line) > MAX_LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
            yield number, b"", f"has more than {MAX_LINE_BYTES} bytes"
        elif line.strip():
            yield number, line, ""


def _check_depth(value: Any) -> None:
    """Go down level by level: a walk by recursion would itself be what deep values break."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
    if level:
        raise JsonError(f"not JSON that is read: objects lie more than {MAX_DEPTH} deep in one another")
