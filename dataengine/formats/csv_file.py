"""Tables of text that somebody else wrote: comma, semicolon or tab between fields, with a BOM or without, UTF-8 or not.

A row is a list of fields; what is wrong with one row is told beside it and costs no other.
"""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path

from dataengine.errors import RecordError, SourceError
from dataengine.formats import lfs
from dataengine.reading import is_of_the_machine

MAX_ROWS = 20_000_000
"""EgoHOD's table, the largest known, has some millions."""
SEPARATORS = ",;\t"
OTHER_BYTES = "villa_cp1252"
"""Name of the rule for bytes that are no UTF-8."""
TOO_MANY = ""
"""Name of what stands behind a row's last column."""
SNIFFED = 20
"""Lines that tell which separator a file has."""


def records(path: Path, separator: str = "") -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields) of every row that is not blank; `separator` is told by the first lines if not given.

    Raise SourceError when the file is missing or no text. Bytes that are no UTF-8 are read as Windows-1252.
    """
    try:
        with path.open("rb") as raw:
            start = raw.read(4096)
            if reason := lfs.why(start, ""):
                raise SourceError(f"{path}: {reason}")
            if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise SourceError(f"{path}: is no text, expected a table of text; download it again")
            raw.seek(0)
            encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
            file = io.TextIOWrapper(raw, encoding=encoding, errors=OTHER_BYTES, newline="")
            yield from _rows(path, file, separator)
    except OSError as error:
        if is_of_the_machine(error):
            raise
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def named(
    path: Path, needed: Sequence[str], *, other_names: Mapping[str, str] | None = None, separator: str = ""
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, fields by name) of a table whose first row names them.

    `other_names` maps what other versions of the file call a column to its name here. A row with too few fields lacks
    their names, what stands behind the last column is under `TOO_MANY`. Raise SourceError when a needed column is not
    there.
    """
    lines = records(path, separator)
    first = next(lines, None)
    if first is None:
        raise SourceError(f"{path}: is empty, expected a table with the columns {', '.join(needed)}")
    head = [(other_names or {}).get(name.strip(), name.strip()) for name in first[1]]
    if lacking := [name for name in needed if name not in head]:
        said = ", ".join(head[:12])
        raise SourceError(f"{path}: has no column {', '.join(lacking)}, found {said}; is it the publisher's file?")
    for number, fields in lines:
        rest = [field for field in fields[len(head) :] if field.strip()]
        yield number, dict(zip(head, fields, strict=False)) | ({TOO_MANY: ", ".join(rest)} if rest else {})


def seconds(row: Mapping[str, str], name: str, scale: float = 1.0) -> float:
    """Read a number of a row, times `scale`; raise RecordError when it is missing or none."""
    text = row.get(name, "").strip()
    try:
        return float(text) * scale
    except ValueError:
        raise RecordError(f"{name} is {text[:40]!r}, expected a number") from None


def clock_seconds(row: Mapping[str, str], name: str) -> float:
    """Read a time of the form HH:MM:SS.cc as seconds; raise RecordError when it is none."""
    text = row.get(name, "").strip()
    try:
        hours, minutes, rest = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(rest)
    except ValueError:
        raise RecordError(f"{name} is {text[:40]!r}, expected HH:MM:SS.cc") from None


def _as_cp1252(error: UnicodeError) -> tuple[str, int]:
    """Read bytes that are no UTF-8 as the encoding that Windows wrote them in."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(OTHER_BYTES, _as_cp1252)


def _rows(path: Path, file: io.TextIOWrapper, separator: str) -> Iterator[tuple[int, list[str]]]:
    first = list(islice(file, SNIFFED))
    try:
        reader = csv.reader(chain(first, file), delimiter=separator or _separator(first), skipinitialspace=True)
        for number, fields in enumerate(reader, 1):
            if number > MAX_ROWS:
                raise SourceError(f"{path}: has more than {MAX_ROWS} rows, expected fewer")
            if any(field.strip() for field in fields):
                yield reader.line_num, fields
    except csv.Error as error:
        raise SourceError(f"{path}: line {reader.line_num}: {error}; a quote that is not closed?") from error


def _separator(lines: Sequence[str]) -> str:
    """Choose the separator that divides every line, the one that divides them most often."""
    plain = [line for line in lines if line.strip() and not line.startswith("#")]
    counts = {mark: [line.count(mark) for line in plain] for mark in SEPARATORS}
    return max(SEPARATORS, key=lambda mark: (min(counts[mark], default=0) > 0, sum(counts[mark])))
