"""Damages files as disks, networks, other programs and ill will do: blindly, by their structure, with sums mended."""

import json
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import google_crc32c
import numpy as np
import yaml

from tests.fuzz import tables

Damage = Callable[[bytes, np.random.Generator], bytes]

EDGES = (0, 1, -1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, -(2**31), 2**32 - 1, 2**40, 2**63 - 1, -(2**63))
"""Numbers at which counts, sizes and offsets go wrong."""


def blind(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage bytes without a look at what they mean."""
    return _BLIND[rng.integers(len(_BLIND))](data, rng) if data else bytes(rng.integers(0, 256, 64, dtype=np.uint8))


def _flip(data: bytes, rng: np.random.Generator) -> bytes:
    changed = np.frombuffer(data, np.uint8).copy()
    for offset in rng.integers(0, len(changed), 2 ** rng.integers(0, 9)):
        changed[offset] ^= 1 << rng.integers(8)
    return changed.tobytes()


def _flip_early(data: bytes, rng: np.random.Generator) -> bytes:
    """Headers lie at the start."""
    head = min(len(data), 512)
    return _flip(data[:head], rng) + data[head:]


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(0, len(data))]


def _block(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(0, len(data)))
    return start, min(len(data), start + int(2 ** rng.integers(0, 13)))


def _insert(data: bytes, rng: np.random.Generator) -> bytes:
    offset, _ = _block(data, rng)
    return data[:offset] + rng.bytes(int(2 ** rng.integers(0, 10))) + data[offset:]


def _remove(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = _block(data, rng)
    return data[:start] + data[end:]


def _repeat(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = _block(data, rng)
    return data[:end] + data[start:end] * int(rng.integers(1, 20)) + data[end:]


def _swap(data: bytes, rng: np.random.Generator) -> bytes:
    (a, b), (c, d) = sorted([_block(data, rng), _block(data, rng)])
    b, d = min(b, c), max(d, c)
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _fill(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = _block(data, rng)
    return data[:start] + bytes([rng.choice([0, 32, 255])]) * (end - start) + data[end:]


def _number(data: bytes, rng: np.random.Generator) -> bytes:
    """Put a number in a place where a size or an offset may lie."""
    form = str(rng.choice(["<b", "<h", "<i", "<q", ">h", ">i", ">q", "<d", ">d"]))
    value = int(rng.choice(np.array(EDGES, object)))
    if form[1] == "d":
        packed = struct.pack(form, rng.choice([np.inf, np.nan, 1e300, -1e9]))
    else:
        packed = (value & (1 << 64) - 1).to_bytes(8, "little")[: struct.calcsize(form)]
        packed = packed if form[0] == "<" else packed[::-1]
    offset = int(rng.integers(0, max(len(data) - len(packed), 1)))
    return data[:offset] + packed + data[offset + len(packed) :]


_BLIND: tuple[Damage, ...] = (
    _flip,
    _flip,
    _flip_early,
    _cut,
    _insert,
    _remove,
    _repeat,
    _swap,
    _fill,
    _number,
    _number,
)


def json_text(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one value or key of a JSON text, which stays JSON."""
    if rng.random() < 0.05:
        return _DEEP[rng.integers(len(_DEEP))]
    return _dump(_edited(json.loads(data), rng))


def json_lines(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one line of a file of JSON lines."""
    lines = data.splitlines()
    index = rng.integers(len(lines))
    lines[index] = json_text(lines[index], rng)
    return b"\n".join(lines) + b"\n"


def yaml_text(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one value or key of a YAML text, which mostly stays YAML."""
    if rng.random() < 0.05:
        return _DEEP[rng.integers(len(_DEEP))]
    if rng.random() < 0.05:
        return b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 121))
    text = yaml.safe_dump(_edited(yaml.safe_load(data), rng), allow_unicode=True)
    return text.encode("utf-8", "surrogatepass")


_DEEP = (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 500 + b"]" * 500, b"", b"null", b"7", b"[]", b'"\\ud800"')

_VALUES: tuple[Any, ...] = (
    *EDGES,
    *(10**30, 1e308, -1e308, float("inf"), float("nan"), 0.5, -0.1, True, False, None),
    *(
        "",
        "x",
        "\ud800",
        "../../etc/passwd",
        "/etc/passwd",
        "a" * 70_000,
        "NaN",
        "1e400",
        "0",
        "{episode}",
        "%s",
        "\x00",
    ),
    *([], {}, [[]], [None], [1, 2, 3], {"a": 1}, [["a"] * 3] * 3, [0] * 1000),
)


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def _edited(tree: Any, rng: np.random.Generator) -> Any:
    """Change one node of a tree of lists and dicts."""
    spots: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        for key, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
            spots.append((node, key))
            waiting.append(child)
    if not spots:
        return _VALUES[rng.integers(len(_VALUES))]
    node, key = spots[rng.integers(len(spots))]
    what = rng.integers(6)
    value = node[key]
    if what == 0 and isinstance(node, dict):
        del node[key]
    elif what == 1 and isinstance(node, dict):
        node[f"{key}x"] = node.pop(key)
    elif what == 2 and isinstance(value, int | float) and not isinstance(value, bool):
        node[key] = [value * 10, -value, value + 1, value * 1e12, str(value), value + 0.5][rng.integers(6)]
    elif what == 3 and isinstance(value, list) and value:
        node[key] = [value * 2, value[:-1], value[::-1], value * 100][rng.integers(4)]
    elif what == 4 and isinstance(value, str) and value:
        offset = rng.integers(len(value))
        node[key] = value[:offset] + str(rng.choice(["", "é", "\n", "{", ":", "\udcff", "9"])) + value[offset + 1 :]
    else:
        node[key] = _VALUES[rng.integers(len(_VALUES))]
    return tree


def table_text(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one field or row of a table of text, or the encoding of all of it."""
    mark = max(b",;\t", key=lambda c: data.count(bytes([c])))
    rows = [line.split(bytes([mark])) for line in data.split(b"\n")]
    row = rows[rng.integers(len(rows))]
    column, what = int(rng.integers(len(row))), rng.integers(8)
    if what == 0:
        del row[column]
    elif what == 1:
        row.insert(column, row[column])
    elif what == 2:
        rows.insert(int(rng.integers(len(rows))), row)
    elif what == 3:
        row[column] = b'"' + row[column]
    elif what == 4:
        return data.decode().encode(str(rng.choice(["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])))
    else:
        value = str(_VALUES[rng.integers(len(_VALUES))])
        row[column] = value.encode("utf-8" if what < 7 else "cp1252", "replace")
    return b"\n".join(bytes([mark]).join(fields) for fields in rows)


def tfrecord(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage one record's payload and mend both checksums."""
    records, offset = [], 0
    while offset < len(data):
        (size,) = struct.unpack_from("<Q", data, offset)
        records.append(data[offset + 12 : offset + 12 + size])
        offset += 16 + size
    which = rng.integers(len(records))
    records[which] = blind(records[which], rng)
    return b"".join(_frame(record) for record in records)


def _frame(payload: bytes) -> bytes:
    size = struct.pack("<Q", len(payload))
    return size + _masked(size) + payload + _masked(payload)


def _masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def tar(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage headers of an archive and mend their sums."""
    changed = bytearray(data)
    heads = [p for p in range(0, len(data) - 511, 512) if data[p + 257 : p + 262] == b"ustar"]
    for head in rng.choice(heads, min(len(heads), 1 + rng.integers(3))) if heads else []:
        block = bytearray(changed[head : head + 512])
        start, end = [(0, 100), (124, 136), (124, 136), (156, 157), (345, 500)][rng.integers(5)]
        if start == 124:
            sizes = [b"%011o\0" % n for n in (0, 1, 512, 10**9, 8**11 - 1)] + [
                b"\x80" + rng.bytes(11),
                b"-0000000001\0",
            ]
            block[start:end] = sizes[rng.integers(len(sizes))]
        elif start == 156:
            block[156] = int(rng.choice(list(b"0123567xgLKSZ\0")))
        else:
            block[start:end] = blind(bytes(block[start:end]), rng)[: end - start].ljust(end - start, b"\0")
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        changed[head : head + 512] = block
    return bytes(changed)


def png(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage one chunk of a PNG and mend its sum."""
    chunks, offset = [], 8
    while offset < len(data):
        (size,) = struct.unpack_from(">I", data, offset)
        chunks.append((data[offset + 4 : offset + 8], data[offset + 8 : offset + 8 + size]))
        offset += 12 + size
    which = rng.integers(len(chunks))
    name, body = chunks[which]
    if name == b"IHDR" and rng.random() < 0.7:
        sides = rng.choice([1, 8, 64, 4000, 16_000, 2**31 - 1], 2)
        body = struct.pack(">II", *map(int, sides)) + body[8:]
    else:
        body = blind(body, rng) if body else body
    chunks[which] = (name, body)
    return data[:8] + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def safetensors(data: bytes, rng: np.random.Generator) -> bytes:
    """Edit the JSON header of a safetensors file, whose length is mended."""
    (size,) = struct.unpack_from("<Q", data)
    header = json_text(data[8 : 8 + size], rng)
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def video(data: bytes, rng: np.random.Generator) -> bytes:
    """Change the header atoms of an MP4 or the first elements of a WebM, where times, sizes and codecs lie."""
    if data[4:8] == b"ftyp":
        offset = data.find(b"moov")
        names = [
            b"avc1",
            b"av01",
            b"hev1",
            b"stts",
            b"mvhd",
            b"tkhd",
            b"ctts",
            b"stsz",
            b"elst",
            b"stsd",
            b"mdhd",
            b"stco",
        ]
        offsets = [p for name in names if (p := data.find(name, max(offset, 0))) >= 0]
        if offsets and rng.random() < 0.7:
            start = int(rng.choice(offsets))
            end = min(start + 4 + 40, len(data))
            if rng.random() < 0.2:
                return data[:start] + b"zzzz" + data[start + 4 :]
            return data[: start + 4] + _number(data[start + 4 : end], rng) + data[end:]
    else:
        offset = data.find(b"V_VP9")
        if offset >= 0 and rng.random() < 0.2:
            return data[:offset] + b"V_VXX" + data[offset + 5 :]
        marks = [i for i in range(len(data) - 4) if data[i] in (0xA3, 0xE7) or data[i : i + 4] == b"\x1f\x43\xb6\x75"]
        if marks and rng.random() < 0.5:
            start = int(rng.choice(marks))
            return data[: start + 1] + _number(data[start + 1 : start + 12], rng) + data[start + 12 :]
    return _flip_early(data, rng)


def picture(data: bytes, rng: np.random.Generator) -> bytes:
    """Put a picture of another kind in the place of one."""
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n" + data


BY_SUFFIX: dict[str, Damage] = {
    **{".json": json_text, ".jsonl": json_lines, ".yaml": yaml_text, ".tar": tar, ".png": png, ".bmp": picture},
    **{".csv": table_text, ".txt": table_text, ".hdf5": tables.hdf5},
    **{".safetensors": safetensors, ".mp4": video, ".webm": video, ".h5": tables.hdf5, ".parquet": tables.parquet},
}


def damage(name: str, data: bytes, rng: np.random.Generator) -> tuple[bytes, bool]:
    """Damage a file by its name; tell whether its own sums were mended, so that only its readers can notice."""
    suffix = ".tfrecord" if ".tfrecord" in name else name[name.rfind(".") :]
    by_structure = tfrecord if suffix == ".tfrecord" else BY_SUFFIX.get(suffix)
    if by_structure is not None and rng.random() < 0.6:
        with suppress(
            LookupError, TypeError, ValueError, OSError, RuntimeError, struct.error, yaml.YAMLError
        ):  # it was damaged before
            return by_structure(data, rng), True
    return blind(data, rng), False
