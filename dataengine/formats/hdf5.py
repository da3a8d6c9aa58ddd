"""Arrays of numbers out of an HDF5 file; whatever is wrong with the file is one line.

A file of a kilobyte may promise terabytes, and may name other files to take bytes from. So each dataset is looked at
before any of it is read: it must be numbers that lie in this very file, no more of them than the bytes on the disk can
hold, and each compressed chunk must inflate to the size of a chunk.
"""

import re
import zlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.formats import lfs
from dataengine.formats.byte_range import ByteRange, Location, name_of, size_of
from dataengine.reading import is_of_the_machine

T = TypeVar("T")

MAX_BYTES = 2**28
"""Of all arrays that are read of a file. An hour of AgiBot's numbers has 30 MB."""
FREE_BYTES = 2**20
"""An array may be this large without a byte on the disk: what was never written is zero."""
MAX_RATIO = 1032
"""deflate's best, of bytes that are all alike."""
MAX_CHUNKS = 100_000
MAX_TEXTS, MAX_LETTERS = 1_000, 10_000
"""Of an attribute."""
MAX_MEMBERS = 10_000
"""Of a group: demonstrations in a file."""
MAX_HOPS = 16
"""Links on the way to a dataset."""
DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
"""Filters of HDF5 whose output cannot outgrow what is checked here."""


def read(location: Location, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, NDArray]:
    """Read whole datasets by key; an optional key that is not there is left out.

    Raise RecordError when the file is missing or damaged, a required key is not in it, or a dataset is no plain array
    of numbers within bounds.
    """
    import h5py  # here: only two kinds of source need it

    name, num_bytes = name_of(location), size_of(location)
    if num_bytes is None:
        raise RecordError(f"{name} is missing")
    arrays: dict[str, NDArray] = {}
    left = MAX_BYTES
    try:
        with ExitStack() as opened:
            source = opened.enter_context(location.open()) if isinstance(location, ByteRange) else location
            file = opened.enter_context(h5py.File(source, "r"))
            for key in (wanted := tuple(required)) + tuple(optional):
                value = _dataset(file, key)
                if value is not None:
                    _check(value, num_bytes, left)
                    arrays[key] = np.asarray(value[()])
                    left -= arrays[key].nbytes
                elif key in wanted:
                    raise RecordError(f"key '{key}' is missing")
    except RecordError as error:
        raise RecordError(f"{name}: {error}") from error
    except Exception as error:  # h5py raises a dozen kinds on damaged files
        if is_of_the_machine(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = lfs.why_file(location, f"not readable HDF5 ({num_bytes} bytes; {reason})")
        raise RecordError(f"{name}: {reason}") from error
    return arrays


def attributes(location: Location, names: Iterable[str], *, group: str = "") -> dict[str, str | list[str]]:
    """Read attributes of a file, or of a group in it, that are texts or lists of texts; others are left out.

    So is what is not there. Raise RecordError when the file is missing or damaged.
    """
    return _looked_at(location, lambda file: _attributes(file, names, group))


def members(location: Location, group: str) -> list[str]:
    """List the groups in a group of a file, numbers in their names in order; empty where it is not there.

    Raise RecordError when the file is missing or damaged, or holds more groups than anyone records.
    """
    return _looked_at(location, lambda file: _members(file, group))


def _members(file: Any, group: str) -> list[str]:
    import h5py

    within = file.get(group) if isinstance(file.get(group, getlink=True), h5py.HardLink) else None
    if not isinstance(within, h5py.Group):
        return []
    if len(within) > MAX_MEMBERS:
        raise ValueError(f"'{group}' has {len(within)} members, expected {MAX_MEMBERS} at most")
    links = {name: within.get(name, getlink=True) for name in within}
    groups = [name for name, link in links.items() if isinstance(link, h5py.HardLink) and _is_group(within, name)]
    return sorted(groups, key=lambda name: [(int(part), "") if part.isdigit() else (-1, part) for part in _split(name)])


def _is_group(within: Any, name: str) -> bool:
    import h5py

    return within.get(name, getclass=True) is h5py.Group


def _split(name: str) -> list[str]:
    return [part for part in re.split(r"(\d+)", name) if part]


def _attributes(file: Any, names: Iterable[str], group: str) -> dict[str, str | list[str]]:
    import h5py

    held = file
    if group:
        held = file.get(group) if isinstance(file.get(group, getlink=True), h5py.HardLink) else None
    if held is None:
        return {}
    there = {key: held.attrs.get_id(key) for key in names if key in held.attrs}
    small = [key for key, value in there.items() if prod(value.shape) <= MAX_TEXTS]
    return {key: text for key in small if (text := _texts(held.attrs[key]))}


def _looked_at(location: Location, look: Callable[[Any], T]) -> T:
    """Open a file and look into it; raise RecordError when it is missing or damaged."""
    import h5py

    name = name_of(location)
    if (num_bytes := size_of(location)) is None:
        raise RecordError(f"{name} is missing")
    try:
        with ExitStack() as opened:
            source = opened.enter_context(location.open()) if isinstance(location, ByteRange) else location
            return look(opened.enter_context(h5py.File(source, "r")))
    except Exception as error:
        if is_of_the_machine(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RecordError(
            f"{name}: {lfs.why_file(location, f'not readable HDF5 ({num_bytes} bytes; {reason})')}"
        ) from error


def _texts(value: Any) -> str | list[str]:
    """Make text of bytes, drop the zeros that pad it, and lists of arrays of it."""
    if isinstance(value, bytes | str):
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return text[:MAX_LETTERS].rstrip("\0").strip()
    if isinstance(value, np.ndarray | list | tuple):
        texts = [_texts(each) for each in np.asarray(value, object).ravel()]
        return [each for each in texts if isinstance(each, str) and each]
    return str(value) if isinstance(value, bool | int | float | np.generic) else ""


def _dataset(file: Any, key: str) -> Any:
    """Find a dataset step by step: h5py itself would follow links into other files. None where there is none."""
    import h5py

    names, at, hops = key.split("/"), file, 0
    while names:
        if not isinstance(at, h5py.Group):
            return None
        name = names.pop(0)
        if not name:
            continue
        link = at.get(name, getlink=True)
        if link is None:
            return None
        if isinstance(link, h5py.HardLink):
            at = at[name]
        elif isinstance(link, h5py.SoftLink) and hops < MAX_HOPS:
            hops += 1
            at, names = (file if link.path.startswith("/") else at), [*link.path.split("/"), *names]
        else:
            raise RecordError(f"key '{key}' is a link into another file or to itself; it is not followed")
    return at if isinstance(at, h5py.Dataset) else None


def _check(dataset: Any, num_bytes: int, left: int) -> None:
    """Raise RecordError unless a dataset can be read at the price of its numbers."""
    where = f"'{dataset.name}'"
    if dataset.external or dataset.is_virtual:
        raise RecordError(f"{where} takes its bytes from other files; they are not read, store them in this one")
    dtype, shape = dataset.dtype, dataset.shape
    if dtype.kind not in "biuf" or dtype.subdtype is not None or shape is None:
        raise RecordError(f"{where} holds {str(dtype)[:80]}, expected numbers")
    stored = min(dataset.id.get_storage_size(), num_bytes)
    chunk = prod(dataset.chunks) * dtype.itemsize if dataset.chunks else 0
    size = max(prod(shape) * dtype.itemsize, chunk)
    if size > min(left, FREE_BYTES + MAX_RATIO * stored):
        raise RecordError(f"{where} of shape {shape} takes {size} bytes, with {stored} on the disk; not read")
    if dataset.chunks:
        _check_chunks(dataset, chunk, num_bytes)


def _check_chunks(dataset: Any, chunk: int, num_bytes: int) -> None:
    """Raise RecordError unless each chunk inflates to `chunk` bytes: HDF5 inflates whatever a chunk holds."""
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    others = [code for code in filters if code not in (DEFLATE, SHUFFLE, FLETCHER32)]
    if others or filters.count(DEFLATE) > 1:
        raise RecordError(f"'{dataset.name}' is packed by filters {filters}, expected gzip, shuffle and fletcher32")
    if dataset.id.get_num_chunks() > MAX_CHUNKS:
        raise RecordError(f"'{dataset.name}' has {dataset.id.get_num_chunks()} chunks, expected {MAX_CHUNKS} at most")
    if DEFLATE not in filters:
        return
    chunks: list[Any] = []
    dataset.id.chunk_iter(chunks.append)
    for info in chunks:
        if info.filter_mask & 1 << filters.index(DEFLATE):
            continue
        if info.size > num_bytes:
            raise RecordError(f"'{dataset.name}' has a chunk of {info.size} bytes in a file of {num_bytes}")
        stream = zlib.decompressobj()
        raw = stream.decompress(dataset.id.read_direct_chunk(info.chunk_offset)[1], chunk + 1)
        if len(raw) > chunk:
            raise RecordError(f"'{dataset.name}' has a chunk that inflates to more than its {chunk} bytes")
