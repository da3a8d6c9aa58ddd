"""Where the members of a plain (not compressed) tar lie, found by jumping from header to header; nothing is unpacked.

USTAR, GNU and PAX headers are read. A long walk is kept in memory, and in a file below the user's cache folder
(`$XDG_CACHE_HOME/villa-engine/tar`, else `~/.cache/...`), which all processes of a machine, or of a cluster with
shared homes, find again for as long as the archive keeps its size and time. Nothing is written beside the archive. It
may be deleted at any time, and where it cannot be written every process walks for itself.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dataengine.digest import stable_id
from dataengine.errors import RecordError
from dataengine.formats import json_file, lfs
from dataengine.reading import goes_on
from dataengine.whole_file import write_whole

BLOCK = 512
END = bytes(BLOCK)
FILES = (b"0", b"\0", b"7")
WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")
"""Links, devices and folders: whatever size they state, no data follows."""
PAX, PAX_FOR_ALL, LONG_NAME, LONG_LINK, SPARSE = b"x", b"g", b"L", b"K", b"S"
MAX_EXTENSION = 2**20
"""An extended header that claims more is damaged."""
MAX_DIGITS, MAX_FACTS = 8, 1_000
"""Of a line's length in an extended header, and of its lines: they tell a name, a size, a time, some attributes."""
MIN_HEADERS = 2_000
"""Shorter walks take milliseconds: a file would not pay."""
NO_CACHE = (OSError, RuntimeError, ValueError)
"""No file, no right to write one, or no home; with what a damaged file raises beside."""
VERSION = "2"
"""Of the index file's layout."""


@dataclass(frozen=True)
class Index:
    """The members that were asked for."""

    members: Mapping[str, Sequence[tuple[int, int]]]
    """Name without a leading `./` to (offset, bytes) of each time it occurs, in order."""
    unsafe: Sequence[str]
    """Names that are absolute or hold `..`; they are not among `members`."""
    fault: str | None
    """Why the walk ended before the archive did; None for a whole archive."""
    num_headers: int = 0


def index(path: Path, suffixes: tuple[str, ...]) -> Index:
    """Find all files whose names end in one of `suffixes`; raise RecordError when the archive cannot be opened."""
    try:
        facts = path.stat()
        return _index(path.resolve(), facts.st_size, facts.st_mtime_ns, suffixes)
    except OSError as error:
        raise RecordError(f"{path.name}: cannot be read ({error.strerror})") from error


def cache_folder() -> Path:
    """Where indexes are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "villa-engine" / "tar"


@lru_cache(maxsize=16)
def _index(path: Path, num_bytes: int, modified_ns: int, suffixes: tuple[str, ...]) -> Index:
    key = stable_id(VERSION, str(path), str(num_bytes), str(modified_ns), *suffixes)
    with suppress(*NO_CACHE, KeyError, TypeError, AttributeError):
        known = json_file.read(cache_folder() / f"{key}.json")
        members = {name: [(offset, size) for offset, size in spans] for name, spans in known["members"].items()}
        return Index(members, known["unsafe"], known["fault"], known["num_headers"])
    file = os.open(path, os.O_RDONLY)
    try:
        if hasattr(os, "posix_fadvise"):  # else each jump would read 128 KiB ahead
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        walked = _walk(file, num_bytes, suffixes)
    finally:
        os.close(file)
    if walked.num_headers >= MIN_HEADERS:
        with suppress(*NO_CACHE):
            _keep(cache_folder() / f"{key}.json", walked)
    return walked


def _keep(target: Path, walked: Index) -> None:
    write_whole(target, json.dumps(vars(walked)))


def _walk(file: int, num_bytes: int, suffixes: tuple[str, ...]) -> Index:
    members: dict[str, list[tuple[int, int]]] = {}
    unsafe: list[str] = []
    extended: dict[str, str] = {}
    fault, count, at = None, 0, 0
    while True:
        header = os.pread(file, BLOCK, at)
        if header == END:
            break
        if len(header) < BLOCK:
            fault = lfs.why(header, f"ends at byte {num_bytes} without an end mark; cut off")
            break
        count += 1
        if count % 1_000 == 0:
            goes_on()
        try:
            kind = header[156:157]
            size = _checked_size(header)
            start = at + BLOCK
            if kind in (PAX, LONG_NAME):
                if size > MAX_EXTENSION:
                    raise ValueError
                extended |= _extension(kind, os.pread(file, size, start))
                at = _after(start, size)
                continue
            if kind in (PAX_FOR_ALL, LONG_LINK):
                at = _after(start, size)
                continue
            if kind == SPARSE:
                raise ValueError
            size = int(extended.get("size", size))
            if size < 0:
                raise ValueError
        except ValueError:
            fault = lfs.why(header, f"byte {at} of {num_bytes} is no header that can be read; damaged")
            break
        at = start if kind in WITHOUT_DATA else _after(start, size)
        if at > num_bytes and start + size > num_bytes:
            fault = f"ends at byte {num_bytes}, within a member that goes on to byte {start + size}; cut off"
            break
        if kind in FILES and "GNU.sparse.major" not in extended:
            name = extended.get("path") or _name(header)
            if name.endswith(suffixes):
                if name.startswith("/") or ".." in name.split("/"):
                    unsafe.append(name)
                else:
                    members.setdefault(_plain(name), []).append((start, size))
        if extended:
            extended = {}
    return Index(members, unsafe, fault, count)


def _after(start: int, size: int) -> int:
    """Where the header after `size` bytes of data lies."""
    return start + (size + BLOCK - 1) // BLOCK * BLOCK


def _checked_size(header: bytes) -> int:
    """Return the stated size; raise ValueError when the header's sum is wrong."""
    stated = int(header[148:156].strip(b" \0"), 8)
    field = header[124:136]
    binary = field[0] == 0x80  # over 8 GiB
    size = int.from_bytes(field[1:], "big") if binary else int(field.strip(b" \0") or b"0", 8)
    if size < 0 or stated != sum(header) - sum(header[148:156]) + 8 * ord(" "):
        raise ValueError
    return size


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0" and header[345]:
        name = header[345:500].split(b"\0", 1)[0] + b"/" + name
    return name.decode("utf-8", "backslashreplace")


def _extension(kind: bytes, data: bytes) -> dict[str, str]:
    """Read what an extended header says of the next member: `<length> <key>=<value>` lines, or GNU's long name."""
    if kind == LONG_NAME:
        return {"path": data.rstrip(b"\0").decode("utf-8", "backslashreplace")}
    facts: dict[str, str] = {}
    data, at = data.rstrip(b"\0"), 0
    while at < len(data):
        space = data.find(b" ", at, at + MAX_DIGITS)
        end = at + int(data[at:space])  # a ValueError where there is no space
        if not space < end <= len(data) or len(facts) >= MAX_FACTS:
            raise ValueError
        key, _, value = data[space + 1 : end].rstrip(b"\n").partition(b"=")
        if not key:
            raise ValueError
        facts[key.decode("utf-8", "backslashreplace")] = value.decode("utf-8", "backslashreplace")
        at = end
    return facts


def _plain(name: str) -> str:
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name
