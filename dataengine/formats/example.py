"""tf.train.Example: a map from key to a list of floats, int64s or byte strings, read with the plain protobuf runtime.

The message is described here at run time, in a descriptor pool of its own, so that tensorflow may live in the same
process. A record becomes nested dicts of arrays by the tree of `features.py`.
"""

import zlib
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from dataengine.errors import RecordError
from dataengine.formats.features import FeaturesDict, Leaf, Node, Repeated, Shape, leaves

MAX_INFLATED = 2**30
"""Bytes that the compressed tensors of one record may hold: an episode is read whole. deflate makes 1,000 of one."""


class Lists(dict[str, Any]):
    """Key to the protobuf Feature of one record."""

    num_inflated = 0
    """Bytes of tensors that were compressed in it, so far."""


@cache
def _example_class() -> Any:
    """Build Example{features: Features{feature: map<string, Feature>}}, with the field numbers of tensorflow."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="rlds", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, bool, str], parent: Any = None) -> Any:
        made = (parent.nested_type if parent else file.message_type).add(name=name)
        for field_name, number, kind, repeated, type_name in fields:
            label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            made.field.add(name=field_name, number=number, type=kind, label=label, type_name=type_name or None)
        return made

    message("BytesList", ("value", 1, field.TYPE_BYTES, True, ""))
    message("FloatList", ("value", 1, field.TYPE_FLOAT, True, ""))
    message("Int64List", ("value", 1, field.TYPE_INT64, True, ""))
    feature = message(
        "Feature",
        ("bytes_list", 1, field.TYPE_MESSAGE, False, ".rlds.BytesList"),
        ("float_list", 2, field.TYPE_MESSAGE, False, ".rlds.FloatList"),
        ("int64_list", 3, field.TYPE_MESSAGE, False, ".rlds.Int64List"),
    )
    feature.oneof_decl.add(name="kind")
    for member in feature.field:
        member.oneof_index = 0
    features = message("Features", ("feature", 1, field.TYPE_MESSAGE, True, ".rlds.Features.FeatureEntry"))
    entry = message(
        "FeatureEntry",
        ("key", 1, field.TYPE_STRING, False, ""),
        ("value", 2, field.TYPE_MESSAGE, False, ".rlds.Feature"),
        parent=features,
    )
    entry.options.map_entry = True
    message("Example", ("features", 1, field.TYPE_MESSAGE, False, ".rlds.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("rlds.Example"))


def decode(payload: bytes, schema: FeaturesDict) -> dict[str, Any]:
    """Turn one record into nested dicts named as the schema names them.

    A sequence of numbers is an array over its items, one of images a list of encoded bytes, one of texts a list of
    str; ragged sequences are lists of those. Raise RecordError, naming the key, where record and schema disagree.
    """
    try:
        message = _example_class().FromString(payload)
    except DecodeError as error:
        raise RecordError(f"the payload ({len(payload)} bytes) is no tf.train.Example") from error
    lists = Lists(message.features.feature)
    return {name: _value(node, name, lists) for name, node in schema.fields.items()}


def _value(node: Node, key: str, lists: Lists) -> Any:
    """Read what lies below one feature outside every sequence."""
    match node:
        case Leaf():
            return _leaf(node, key, (), None, lists)
        case FeaturesDict(fields):
            return {name: _value(child, f"{key}/{name}", lists) for name, child in fields.items()}
        case Repeated():
            return _repeated(node, key, (), _count(node, key, lists), lists)


def _repeated(node: Node, key: str, levels: tuple[int | None, ...], count: int | None, lists: Lists) -> Any:
    match node:
        case Leaf():
            return _leaf(node, key, levels, count, lists)
        case FeaturesDict(fields):
            return {name: _repeated(child, f"{key}/{name}", levels, count, lists) for name, child in fields.items()}
        case Repeated(item, length):
            return _repeated(item, key, (*levels, length), count, lists)


def _count(node: Repeated, key: str, lists: Lists) -> int | None:
    """How many items an outermost sequence has: `is_first` says it for steps, else the first feature that can."""
    if node.length is not None:
        return node.length
    entries = list(leaves(node, key))
    entries.sort(key=lambda entry: not entry[0].endswith("/is_first"))
    for leaf_key, leaf, levels in entries:
        ragged = len(levels) > 1
        counted = f"{leaf_key}/value" if leaf.has_own_shape else leaf_key
        counted = f"{counted}/ragged_row_lengths_0" if ragged else counted
        if counted in lists and (ragged or leaf.encoding != "none" or None not in leaf.shape):
            per_item = 1 if ragged or leaf.encoding != "none" else _product(leaf.shape)
            if per_item:
                return len(_values(lists[counted])) // per_item
    return None


def _product(shape: Shape) -> int:
    """Values in one item, unknown dimensions left out."""
    return prod(d for d in shape if d is not None)


def _values(feature: Any) -> Sequence:
    """Return the repeated field of a Feature, whichever it holds; nothing set is an empty list."""
    kind = feature.WhichOneof("kind")
    return getattr(feature, kind).value if kind else ()


def _flat(key: str, dtype: str, lists: Lists) -> Any:
    """Every value of a key: byte strings as a list, numbers as an array of what the record stores."""
    feature = lists.get(key)
    if feature is None:
        raise RecordError(f"key '{key}' is missing")
    kind = feature.WhichOneof("kind") or "nothing"
    number = "float_list" if dtype.startswith("float") else "int64_list"
    wanted = "bytes_list" if dtype == "string" else number
    if kind not in (wanted, "nothing"):
        raise RecordError(f"key '{key}' holds a {kind}, expected a {wanted} ({dtype})")
    if wanted == "bytes_list":
        return list(feature.bytes_list.value)
    if wanted == "int64_list":
        return np.array(feature.int64_list.value, dtype=np.int64)
    # Serialised, the list is a tag, a length and one packed block of little-endian floats: cut it off the end.
    num_bytes = 4 * len(feature.float_list.value)
    packed = feature.float_list.SerializeToString()
    return np.frombuffer(packed, dtype="<f4", offset=len(packed) - num_bytes).copy()


def _leaf(leaf: Leaf, key: str, levels: tuple[int | None, ...], count: int | None, lists: Lists) -> Any:
    """Read one leaf inside `levels` sequences; `count` is the length of the outermost one."""
    stored = f"{key}/value" if leaf.has_own_shape else key
    flat_key, row_lengths = stored, []
    if len(levels) > 1:
        flat_key = f"{stored}/ragged_flat_values"
        row_lengths = [_flat(f"{stored}/ragged_row_lengths_{i}", "int64", lists) for i in range(len(levels) - 1)]
    elif not levels and flat_key not in lists and leaf.optional:
        return None
    encoded = leaf.encoding != "none" or leaf.kind != "number"
    flat = _flat(flat_key, "string" if encoded else leaf.dtype, lists)
    num_items = 1
    if levels:
        _check_rows(key, row_lengths, count)
        num_items = _total(row_lengths[-1]) if row_lengths else (len(flat) if count is None else count)
    items = _items(leaf, key, flat, num_items, lists, ragged=len(levels) > 1)
    if not levels:
        return items[0]
    for level in range(len(levels) - 1, 0, -1):
        lengths = row_lengths[level - 1]
        length = levels[level]
        if length is not None and isinstance(items, np.ndarray) and set(lengths.tolist()) <= {length}:
            items = items.reshape(len(lengths), length, *items.shape[1:])
        else:
            ends = np.concatenate([[0], np.cumsum(lengths)])
            items = [items[start:end] for start, end in pairwise(ends)]
    return items


def _check_rows(key: str, row_lengths: list, count: int | None) -> None:
    """Row lengths of each level must add up to the rows of the next; the first level has `count` rows."""
    for i, lengths in enumerate(row_lengths):
        expected = count if i == 0 else _total(row_lengths[i - 1])
        if expected is not None and len(lengths) != expected:
            raise RecordError(f"key '{key}' has {len(lengths)} rows at level {i}, expected {expected}")
        if len(lengths) and int(np.min(lengths)) < 0:
            raise RecordError(f"key '{key}' has a negative row length")


def _total(lengths: Any) -> int:
    """Add up without the wrap at 64 bits."""
    return sum(lengths.tolist())


def _items(leaf: Leaf, key: str, flat: Any, num_items: int, lists: Lists, *, ragged: bool) -> Any:
    """Shape flat values into items: an array (items, *shape), or a list where items are bytes, text or vary."""
    encoded = leaf.kind == "number" and leaf.encoding != "none"
    shape = () if encoded else leaf.shape
    unknown = shape.count(None)
    per_item = _product(shape)
    expected = num_items * per_item
    if (unknown and expected and len(flat) % expected) or (not unknown and len(flat) != expected):
        raise RecordError(f"key '{key}' holds {len(flat)} values, expected {num_items} x {per_item}")
    if encoded:
        return _inflate(leaf, key, flat, lists, ragged=ragged)
    if leaf.kind == "image":
        return flat
    free = len(flat) // expected if unknown and expected else 0
    sizes = tuple(free if d is None else d for d in shape)
    if leaf.kind == "text":
        texts = _texts(flat)
        return np.array(texts, dtype=object).reshape(num_items, *sizes).tolist() if shape else texts
    return flat.astype(leaf.dtype, copy=False).reshape(num_items, *sizes)  # uint64 wraps back to what was cast to int64


def _texts(values: list[bytes]) -> list[str | bytes]:
    """Decode as UTF-8, each by itself; what is no text stays bytes."""
    return [_text(value) for value in values]


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _inflate(leaf: Leaf, key: str, flat: list[bytes], lists: Lists, *, ragged: bool) -> Any:
    """Decode items that were stored as the bytes of an array; one array when all have the same shape."""
    dtype = np.dtype(leaf.dtype).newbyteorder("<")
    sizes = [tuple(-1 if d is None else d for d in leaf.shape)] * len(flat)
    if leaf.has_own_shape:
        shape_key = f"{key}/shape/ragged_flat_values" if ragged else f"{key}/shape"
        stored = _flat(shape_key, "int64", lists)
        if len(stored) != len(flat) * len(leaf.shape):
            raise RecordError(f"key '{shape_key}' holds {len(stored)} values, expected {len(flat)} x {len(leaf.shape)}")
        if len(stored) and int(stored.min()) < 0:
            raise RecordError(f"key '{shape_key}' holds a negative dimension")
        sizes = [tuple(row) for row in stored.reshape(-1, len(leaf.shape)).tolist()]
    arrays = []
    for size, value in zip(sizes, flat, strict=True):
        try:
            raw = _decompress(value, size, dtype, lists) if leaf.encoding == "zlib" else value
            arrays.append(np.frombuffer(raw, dtype=dtype).reshape(size).astype(leaf.dtype))
        except (zlib.error, ValueError) as error:
            reason = f"{len(value)} bytes do not decode to {leaf.dtype} {size} ({error})"
            raise RecordError(f"key '{key}': {reason}") from error
    if None not in leaf.shape:
        return np.stack(arrays) if arrays else np.empty((0, *leaf.shape), dtype=leaf.dtype)
    return arrays


def _decompress(value: bytes, size: tuple[int, ...], dtype: np.dtype, lists: Lists) -> bytes:
    """Inflate as much as a tensor of this size holds, never more; -1 stands for a dimension that follows."""
    left = MAX_INFLATED - lists.num_inflated
    limit = left if -1 in size else min(left, prod(size) * dtype.itemsize)
    stream = zlib.decompressobj()
    raw = stream.decompress(value, limit + 1)
    if len(raw) > limit:
        raise ValueError(f"more than {limit} bytes")
    if not stream.eof:
        raise ValueError("ends too early")
    lists.num_inflated += len(raw)
    return raw
