"""Fields of a protobuf message, without its schema or the library: enough to read a few numbers out of millions."""

import struct
from collections.abc import Iterator

from dataengine.errors import RecordError

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
"""Kinds of fields on the wire."""
LONGEST_VARINT, FLOAT_BYTES = 10, 4

Value = int | bytes


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Yield the number of each field and its value: a varint as int, all else as its bytes.

    Raise RecordError when the message ends within a field or has a kind of field that nobody writes any more.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind in (EIGHT, FOUR):
            size = 8 if kind == EIGHT else 4
        else:
            raise RecordError(f"message has a field of kind {kind}; damaged?")
        if at + size > end:
            raise RecordError(f"message ends within field {key >> 3}; truncated?")
        yield key >> 3, message[at : at + size]
        at += size


def number(value: Value) -> float:
    """Read a float of four bytes; raise RecordError for anything else."""
    if not isinstance(value, bytes) or len(value) != FLOAT_BYTES:
        raise RecordError(f"found a field {value!r:.40}, expected a float")
    return float(struct.unpack("<f", value)[0])


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(LONGEST_VARINT):
        if at + i >= len(message):
            raise RecordError("message ends within a number; truncated?")
        byte = message[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, at + i + 1
    raise RecordError("message has a number of more than 64 bits; damaged?")
