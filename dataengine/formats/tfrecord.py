"""TFRecord: length, checksum of the length, payload, checksum of the payload; nothing else, no index.

uint64 length | uint32 masked crc32c of the 8 length bytes | payload | uint32 masked crc32c of the payload, all
little-endian. Both checksums are always checked: they cost 5 us for a step of 47 KB.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from dataengine.errors import RecordError
from dataengine.formats import lfs, remote

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
MASK_DELTA = 0xA282EAD8
MAX_PAYLOAD = 2**31 - 1
"""No message of protobuf is larger; a file full of nothing may say so of a terabyte."""
FRAMING_BYTES = HEADER.size + FOOTER.size


def masked_crc(data: bytes) -> int:
    """Checksum as TFRecord stores it: crc32c rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """Wrap one payload the way it lies in a file."""
    length = len(payload).to_bytes(8, "little")
    return length + FOOTER.pack(masked_crc(length)) + payload + FOOTER.pack(masked_crc(payload))


def records(path: str | Path) -> Iterator[tuple[int, bytes | RecordError]]:
    """Yield (index, payload) for every record of a file.

    A payload with a wrong checksum costs that record. A wrong length or a file that ends too early costs the rest of
    the file, because nothing says where the next record starts: one error is yielded for it, and that is the last.
    """
    facts = remote.entry(path)
    if facts is None:
        raise FileNotFoundError(f"{path}: it is gone")
    size = facts.num_bytes
    offset = index = 0
    with remote.open_file(path) as file:
        while offset < size:
            header = file.read(HEADER.size)
            if len(header) < HEADER.size:
                yield (
                    index,
                    _lost(offset, f"the file ends {len(header)} bytes into a record's {HEADER.size} byte header"),
                )
                return
            length, length_crc = HEADER.unpack(header)
            if masked_crc(header[:8]) != length_crc:
                lost = _lost(offset, "the checksum of the record's length is wrong")
                head = header + file.read(len(lfs.START) - len(header)) if not offset else b""
                yield index, RecordError(lfs.why(head, str(lost)))
                return
            if offset + FRAMING_BYTES + length > size:
                num_left = size - offset - HEADER.size
                yield index, _lost(offset, f"truncated: {num_left} bytes follow, expected {length + FOOTER.size}")
                return
            if length > MAX_PAYLOAD:
                _skip(file, length + FOOTER.size)
                yield index, RecordError(f"byte {offset}: a payload of {length} bytes, protobuf holds {MAX_PAYLOAD}")
                offset += FRAMING_BYTES + length
                index += 1
                continue
            payload = file.read(length)
            (payload_crc,) = FOOTER.unpack(file.read(FOOTER.size))
            if masked_crc(payload) == payload_crc:
                yield index, payload
            else:
                reason = f"byte {offset}: the checksum of the payload ({length} bytes) is wrong; copy the file again"
                yield index, RecordError(reason)
            offset += FRAMING_BYTES + length
            index += 1


def _skip(file: BinaryIO, num_bytes: int) -> None:
    """Pass over bytes; an object store's stream only reads on."""
    if file.seekable():
        file.seek(num_bytes, os.SEEK_CUR)
        return
    while num_bytes and (data := file.read(min(num_bytes, remote.BUFFER_BYTES))):
        num_bytes -= len(data)


def _lost(offset: int, problem: str) -> RecordError:
    return RecordError(f"byte {offset}: {problem}; the rest of the file cannot be read, copy it again")
