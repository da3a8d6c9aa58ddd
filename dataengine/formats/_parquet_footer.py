"""The footer of a parquet file: how many rows and values it promises, in how many bytes, read by ourselves.

pyarrow tells the same (`metadata.row_group(i).column(j)`), but its binding passes on no exception of C++ there: a
footer that contradicts itself would end the process. Thrift's compact protocol is little, and only a few fields are
wanted; their numbers are those of parquet.thrift of parquet-format 2.11. A group of 12 columns takes 0.2 ms.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, NamedTuple

MAX_BYTES: Final = 2**25
"""Of a footer: one of 100 MB of episodes of 50 steps, each a group of 12 columns, has 24 MB."""
MAX_DEPTH: Final = 20
"""Of structs in one another; parquet has six."""
MAGIC, ENCRYPTED = b"PAR1", b"PARE"
TAIL: Final = 8
"""Bytes behind the footer: its length, and MAGIC."""
BYTES_OF_INTEGERS: Final = {1: 4, 2: 8}
"""By number of the physical type: INT32, INT64."""


class FooterError(ValueError):
    """What is wrong with a footer, without the name of its file."""


class Chunk(NamedTuple):
    """One column in one group of rows."""

    num_values: int
    num_bytes: int
    """Of its pages, packed or unpacked, whichever is more."""
    limits: tuple[int, int] | None
    """Least and greatest value of a column of whole numbers, where the writer noted them."""


class RowGroup(NamedTuple):
    """One group of rows."""

    num_rows: int
    chunks: list[Chunk]
    """In order of the schema's leaves."""


class Footer(NamedTuple):
    """What a file says of its rows."""

    num_rows: int
    groups: list[RowGroup]

    def check_width(self, num_leaves: int) -> None:
        """Raise FooterError unless every group has a chunk for each leaf of the schema."""
        for group in self.groups:
            if len(group.chunks) != num_leaves:
                raise FooterError(f"its footer has {len(group.chunks)} columns in a group, {num_leaves} in its schema")


def read(file: BinaryIO) -> Footer:
    """Read the footer of a file that can be sought; raise FooterError where it is damaged."""
    size = file.seek(0, 2)
    if size < TAIL + len(MAGIC):
        raise FooterError(f"has {size} bytes, too few for one")
    file.seek(size - TAIL)
    tail = file.read(TAIL)
    if tail[4:] == ENCRYPTED:
        raise FooterError("is encrypted")
    if tail[4:] != MAGIC:
        raise FooterError(f"ends in {tail[4:]!r}, expected {MAGIC!r}; cut off as it was copied?")
    length = int.from_bytes(tail[:4], "little")
    if length > min(MAX_BYTES, size - TAIL - len(MAGIC)):
        raise FooterError(f"says that its footer has {length} bytes, the file has {size}")
    file.seek(size - TAIL - length)
    return parse(file.read(length))


def parse(data: bytes) -> Footer:
    """Read the bytes of a footer; raise FooterError where they are damaged."""
    try:
        return _struct(data, 0, _FILE)[0]
    except IndexError as error:
        raise FooterError("its footer ends too early") from error


@dataclass(frozen=True)
class _Wanted:
    """What is kept of a struct: its other fields are passed over."""

    fields: Mapping[int, "_Wanted"] = field(default_factory=dict)
    """By number, each with what is kept of a struct below it."""
    made: Callable[[dict[int, Any]], Any] = dict
    """What the kept fields are made into, so that no footer holds more memory than it must."""


_NOTHING: Final = _Wanted()


def _number(fields: Mapping[int, Any], index: int, name: str) -> int:
    value = fields.get(index)
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise FooterError(f"its footer has {name} {value!r:.40}, expected a whole number")
    return value


def _chunk(fields: dict[int, Any]) -> Chunk:
    if not isinstance(about := fields.get(3), dict):
        raise FooterError("its footer says nothing of a column")
    unpacked, packed = (_number(about, index, "total size") for index in (6, 7))
    return Chunk(_number(about, 5, "num_values"), max(unpacked, packed), _limits(about.get(1), about.get(12)))


def _limits(kind: Any, statistics: Any) -> tuple[int, int] | None:
    num_bytes = BYTES_OF_INTEGERS.get(kind) if isinstance(kind, int) else None
    if num_bytes is None or not isinstance(statistics, dict):
        return None
    for indices in ((6, 5), (2, 1)):  # min_value and max_value, and what they were called before
        pair = [each for index in indices if isinstance(each := statistics.get(index), bytes)]
        if [len(each) for each in pair] == [num_bytes] * 2:
            least, greatest = (int.from_bytes(each, "little", signed=True) for each in pair)
            return least, greatest
    return None


def _group(fields: dict[int, Any]) -> RowGroup:
    return RowGroup(_number(fields, 3, "num_rows"), _all(fields.get(1), Chunk))


def _footer(fields: dict[int, Any]) -> Footer:
    return Footer(_number(fields, 3, "num_rows"), _all(fields.get(4), RowGroup))


def _all(values: Any, kind: type) -> list[Any]:
    if not isinstance(values, list) or any(type(value) is not kind for value in values):
        raise FooterError(f"its footer has no list of {kind.__name__.lower()}s")
    return values


_STATISTICS = _Wanted(dict.fromkeys((1, 2, 5, 6), _NOTHING))
_COLUMN = _Wanted({**dict.fromkeys((1, 5, 6, 7), _NOTHING), 12: _STATISTICS})
_GROUP = _Wanted({1: _Wanted({3: _COLUMN}, _chunk), 3: _NOTHING}, _group)
_FILE = _Wanted({3: _NOTHING, 4: _GROUP}, _footer)

# Numbers of types in the compact protocol. A flag has no bytes in a struct, and one in a list.
_FLAGS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT, _UUID = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 12, 13
_SIZES: Final = {_BYTE: 1, _DOUBLE: 8, _UUID: 16}


def _struct(data: bytes, at: int, wanted: _Wanted, depth: int = 0) -> tuple[Any, int]:
    """Read a struct; return what is wanted of it, and where it ends."""
    if depth > MAX_DEPTH:
        raise FooterError(f"its footer has structs more than {MAX_DEPTH} deep in one another")
    kept: dict[int, Any] = {}
    fields, number = wanted.fields, 0
    while head := data[at]:
        at += 1
        if head > 15:
            number += head >> 4
        else:
            number, at = _signed(data, at)
        kind = head & 15
        if kind in _FLAGS:
            continue
        value, at = _value(data, at, kind, fields.get(number, _NOTHING), depth)
        if number in fields:
            kept[number] = value
    return wanted.made(kept), at + 1


def _value(data: bytes, at: int, kind: int, wanted: _Wanted, depth: int) -> tuple[Any, int]:
    if kind in _INTEGERS:
        return _signed(data, at)
    if kind == _BINARY:
        size, at = _unsigned(data, at)
        return data[at : at + size], at + size
    if kind == _STRUCT:
        return _struct(data, at, wanted, depth + 1)
    if kind in _LISTS:
        return _list(data, at, wanted, depth + 1)
    if kind not in _SIZES:
        raise FooterError(f"its footer has a value of type {kind}, which parquet has not")
    return None, at + _SIZES[kind]


def _list(data: bytes, at: int, wanted: _Wanted, depth: int) -> tuple[list[Any] | None, int]:
    """Read a list; of one of which nothing is wanted None comes."""
    size, kind = data[at] >> 4, data[at] & 15
    at += 1
    if size == 15:
        size, at = _unsigned(data, at)
    if size > len(data) - at:
        raise FooterError(f"its footer has a list of {size} values, and {len(data) - at} bytes for them")
    values = []
    for _ in range(size):
        value, at = _value(data, at, _BYTE if kind in _FLAGS else kind, wanted, depth)
        if wanted is not _NOTHING:
            values.append(value)
    return values if wanted is not _NOTHING else None, at


def _signed(data: bytes, at: int) -> tuple[int, int]:
    """Read a whole number, whose last bit is its sign."""
    number, at = _unsigned(data, at)
    return (number >> 1) ^ -(number & 1), at


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    """Read a whole number of seven bits a byte, the lowest first."""
    number = data[at]
    at += 1
    if number < 128:
        return number, at
    number &= 127
    for shift in range(7, 64, 7):
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise FooterError("its footer has a number of more than 64 bits")
