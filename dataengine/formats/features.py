"""features.json of TFDS: what a record holds, as a small tree, without tensorflow.

Two spellings exist: `{"pythonClassName": ..., "<kind>": {...}}` (current, numbers as strings) and
`{"type": ..., "content": {...}}` (older). Both become the same nodes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import numpy as np

from dataengine.errors import SourceError
from dataengine.formats import json_file
from dataengine.reading import one_line

MAX_SIDE = 2**31 - 1
"""Largest dimension of an item: protobuf itself holds no record of more bytes."""
MAX_DIMENSIONS = 16
LONGEST_DTYPE = 16
MAX_LENGTH = 10**8
"""Longest sequence whose length is declared."""

Shape = tuple[int | None, ...]
"""None stands for an unknown dimension."""


@dataclass(frozen=True)
class Leaf:
    """One array, text or encoded image."""

    kind: Literal["number", "text", "image"]
    dtype: str
    shape: Shape = ()
    """Of one item; an image is one item whatever its pixels, so its shape is empty."""
    encoding: Literal["none", "bytes", "zlib"] = "none"
    optional: bool = False
    pixels: Shape = ()
    """Height, width and channels of an image, as far as declared."""
    about: str = ""
    """What the publisher says about it."""

    @property
    def has_own_shape(self) -> bool:
        """True where every item's shape is stored beside its value: more than one dimension is unknown."""
        return self.shape.count(None) > 1


@dataclass(frozen=True)
class FeaturesDict:
    """A dict of features; names may contain slashes."""

    fields: Mapping[str, "Node"]


@dataclass(frozen=True)
class Repeated:
    """A Sequence or Dataset: many of `item`."""

    item: "Node"
    length: int | None = None


Node = Leaf | FeaturesDict | Repeated


def leaves(node: Node, key: str = "", levels: tuple[int | None, ...] = ()) -> Iterator[tuple[str, Leaf, tuple]]:
    """Yield (key as records spell it, leaf, lengths of the sequences around it) for every leaf."""
    match node:
        case Leaf():
            yield key, node, levels
        case Repeated(item, length):
            yield from leaves(item, key, (*levels, length))
        case FeaturesDict(fields):
            for name, child in fields.items():
                yield from leaves(child, f"{key}/{name}" if key else name, levels)


def parse(raw: Any, where: str) -> FeaturesDict:
    """Make sense of what a features.json holds; `where` names the file in error messages."""
    try:
        node = _node(raw, "")
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        raise SourceError(f"{where}: cannot be read as TFDS features ({reason}); copy it again") from error
    if not isinstance(node, FeaturesDict):
        raise SourceError(f"{where}: found {type(node).__name__} at the top, expected a FeaturesDict")
    return node


CONTENT_OF_CLASS = {
    "FeaturesDict": "featuresDict",
    "Dataset": "sequence",
    "Sequence": "sequence",
    "Tensor": "tensor",
    "Scalar": "tensor",
    "Audio": "audio",
    "BBox": "boundingBox",
    "BBoxFeature": "boundingBox",
    "ClassLabel": "classLabel",
    "Image": "image",
    "LabeledImage": "image",
    "Video": "video",
    "Text": "text",
    "Translation": "translation",
}


def _node(raw: Mapping[str, Any], key: str) -> Node:
    if "type" in raw and "content" in raw:
        return _legacy(raw, key)
    class_name = str(raw["pythonClassName"]).rpartition(".")[2]
    if "jsonFeature" in raw:
        return _legacy({"type": class_name, "content": json_file.loads(raw["jsonFeature"]["json"])}, key)
    kinds = [kind for kind in CONTENT_OF_CLASS.values() if kind in raw]
    if not kinds:
        raise ValueError(f"feature '{key}' is a {class_name}, which is not supported")
    node = _from_content(kinds[0], raw[kinds[0]], key)
    return replace(node, about=str(raw.get("description", ""))) if isinstance(node, Leaf) else node


def _legacy(raw: Mapping[str, Any], key: str) -> Node:
    class_name = str(raw["type"]).rpartition(".")[2]
    kind = CONTENT_OF_CLASS.get(class_name)
    if kind is None:
        raise ValueError(f"feature '{key}' is a {class_name}, which is not supported")
    content = raw["content"]
    if isinstance(content, str):
        content = json_file.loads(content)
    if kind == "featuresDict" and not raw.get("proto_cls"):
        content = {"features": content}
    return _from_content(kind, content, key)


def _from_content(kind: str, content: Mapping[str, Any], key: str) -> Node:
    match kind:
        case "featuresDict":
            children = content.get("features", {})
            return FeaturesDict({name: _node(child, f"{key}/{name}") for name, child in children.items()})
        case "sequence":
            return Repeated(_node(content["feature"], key), _dimension(content.get("length", -1), MAX_LENGTH))
        case "image":
            return Leaf("image", _dtype(content.get("dtype", "uint8")), pixels=_shape(content.get("shape")))
        case "video":
            shape = _shape(content.get("shape"))
            return Repeated(Leaf("image", _dtype(content.get("dtype", "uint8"))), shape[0] if shape else None)
        case "text":
            return Leaf("text", "string", optional=True)  # the file does not say whether a Text may be absent
        case "translation":
            return FeaturesDict({language: Leaf("text", "string") for language in content["languages"]})
        case "classLabel":
            return Leaf("number", "int64")
        case "boundingBox":
            return Leaf("number", "float32", (4,))
    dtype = _dtype(content["dtype"])
    encoding = str(content.get("encoding") or "none").lower()
    if encoding not in ("none", "bytes", "zlib"):
        raise ValueError(f"feature '{key}' has encoding '{encoding}', expected none, bytes or zlib")
    return Leaf(
        kind="text" if dtype == "string" else "number",
        dtype=dtype,
        shape=_shape(content.get("shape")),
        encoding=encoding,  # type: ignore[arg-type]
        optional=bool(content.get("optional", False)),
    )


def _dtype(name: str) -> str:
    if name in ("string", "object", "str", "bytes"):
        return "string"
    dtype = np.dtype(name if len(name) <= LONGEST_DTYPE else "")  # raises TypeError for a dtype that numpy lacks
    if dtype.kind not in "biuf":
        raise ValueError(f"dtype '{name}', expected numbers or string")
    return dtype.name


def _dimension(value: str | int | None, most: int = MAX_SIDE) -> int | None:
    number = -1 if value is None else int(value)
    if number > most:
        raise ValueError(f"a dimension of {number}, expected {most} at most")
    return None if number < 0 else number


def _shape(raw: Mapping[str, Any] | list | None) -> Shape:
    dimensions = raw.get("dimensions", []) if isinstance(raw, Mapping) else raw or []
    shape = tuple(_dimension(d) for d in dimensions)
    if len(shape) > MAX_DIMENSIONS or prod(d or 1 for d in shape) > MAX_SIDE:
        raise ValueError(f"an item of shape {shape}, expected {MAX_SIDE} values at most")
    return shape
