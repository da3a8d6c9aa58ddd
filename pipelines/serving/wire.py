"""Frames on the wire: msgpack with arrays in it, as openpi-client writes them (keys are bytes) and vla-eval (text).

Frames come from strangers. Nothing is ever built from a frame but plain values and arrays of numbers: openpi's own
decoder lets a crafted frame make object pointers out of its bytes, which ends the process. Pictures stay encoded until
somebody looks at them (`picture`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import NoCameraError
from dataengine.formats import jpeg

MAX_BYTES: Final = 64 * 2**20
"""Of a frame: several pictures of any camera that robots have."""
MAX_DIMS: Final = 8
MAX_ITEMS: Final = 100_000
"""In all lists of a frame: each takes some bytes here, and one on the wire."""
MAX_PARTS: Final = 10_000
"""Lists, maps and keys of a frame: each takes a microsecond of the event loop, in which nobody else is answered."""
MAX_SIDE: Final = 8192
"""Pixels along a picture's side: more than cameras have, and what can be scaled to the smallest that policies read."""
KINDS: Final = "biuf"
"""numpy's letters for flags, whole numbers and fractions."""
MAX_LETTERS: Final = 8
"""Of the name of a type: `<f4`."""


class WireError(ValueError):
    """A frame, or what is in it, that is not what a client may send; the message is the answer."""


@dataclass(frozen=True)
class EncodedImage:
    """A picture as vla-eval sends it: JPEG or PNG, not looked at yet."""

    data: bytes


def decode(frame: object) -> dict[Any, Any]:
    """Read a frame; raise WireError, in one line, for anything but a map of plain values and arrays of numbers."""
    import msgpack

    if isinstance(frame, str):
        raise WireError(f"found a text frame ('{frame[:40]}'), expected a binary one: msgpack")
    counted = _Counted()
    try:
        message = msgpack.unpackb(
            frame,
            object_hook=counted.take_map,
            list_hook=counted.take_list,
            raw=False,
            strict_map_key=True,
            ext_hook=_no_extension,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_PARTS,
        )
    except WireError:
        raise
    except msgpack.exceptions.StackError:
        raise WireError("frame is nested too deeply, expected a map of values") from None
    except Exception as error:  # msgpack raises what comes along: ValueError, UnicodeDecodeError, MemoryError
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise WireError(f"frame is no msgpack ({reason})") from None
    if not isinstance(message, dict):
        raise WireError(f"frame holds a {type(message).__name__}, expected a map")
    return message


class _Counted:
    """Takes the lists and maps of one frame as they are read; raises WireError where there are too many."""

    def __init__(self) -> None:
        self._parts, self._items = 0, 0

    def take_list(self, value: list[Any]) -> list[Any]:
        """Count a list and its items."""
        self._count(1, len(value))
        return value

    def take_map(self, value: dict[Any, Any]) -> Any:
        """Count a map and its keys; give what it stands for."""
        self._count(1 + len(value), 0)
        return _array_or_map(value)

    def _count(self, parts: int, items: int) -> None:
        self._parts, self._items = self._parts + parts, self._items + items
        if self._parts > MAX_PARTS or self._items > MAX_ITEMS:
            raise WireError(
                f"frame has more than {MAX_PARTS} lists, maps and keys, or {MAX_ITEMS} values in lists; expected an "
                f"observation, with pictures and long vectors as arrays"
            )


def _no_extension(code: int, data: bytes) -> Any:
    raise WireError(f"frame holds an extension type ({code}), expected plain values")


def _array_or_map(value: dict[Any, Any]) -> Any:
    """Make an array of a map that is marked as one, by either client."""
    for mark, data, dtype, shape in (
        (b"__ndarray__", b"data", b"dtype", b"shape"),
        ("__ndarray__", "data", "dtype", "shape"),
    ):
        if mark in value:
            return _array(value.get(data), value.get(dtype), value.get(shape))
    if b"__npgeneric__" in value:
        return _scalar(value.get(b"data"), value.get(b"dtype"))
    if "__image__" in value:
        return _image(value)
    return value


def _array(data: object, dtype: object, shape: object) -> NDArray[Any]:
    """Look at bytes as an array, without a copy; raise WireError unless all of it fits together."""
    if not isinstance(data, bytes):
        raise WireError(f"array has data of type {type(data).__name__}, expected bytes")
    kind = _dtype(dtype)
    if not isinstance(shape, list | tuple) or len(shape) > MAX_DIMS:
        raise WireError(f"array has shape {shape!r:.60}, expected at most {MAX_DIMS} sizes")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise WireError(f"array has shape {shape!r:.60}, expected whole numbers from 0 on")
    if prod(shape) * kind.itemsize != len(data):
        raise WireError(f"array of shape {shape!r:.60} and type {kind.str} has {len(data)} bytes, which do not fit")
    return np.frombuffer(data, kind).reshape(shape)


def _dtype(name: object) -> np.dtype[Any]:
    """Name a type of numbers; every other is refused before numpy makes anything of it."""
    if isinstance(name, bytes):
        name = name.decode("ascii", "replace")
    if not isinstance(name, str) or len(name) > MAX_LETTERS:
        raise WireError(f"array has type {name!r:.40}, expected numbers such as '<f4'")
    try:
        kind = np.dtype(name)
    except (TypeError, ValueError):
        raise WireError(f"array has type {name!r:.40}, expected numbers such as '<f4'") from None
    if kind.kind not in KINDS or kind.fields or kind.subdtype:
        raise WireError(f"array has type {name!r:.40}, expected numbers such as '<f4'")
    return kind


def _scalar(data: object, dtype: object) -> Any:
    """Take a single number."""
    kind = _dtype(dtype)
    if not isinstance(data, bool | int | float):
        raise WireError(f"number is a {type(data).__name__}, expected a number of type {kind.str}")
    try:
        return kind.type(data).item()
    except (OverflowError, ValueError):
        raise WireError(f"number {data!r:.40} is out of the range of type {kind.str}") from None


def _image(value: Mapping[Any, Any]) -> Any:
    """Take an image in one of vla-eval's three formats."""
    how = value.get("format")
    if how == "raw":
        return _array(value.get("data"), value.get("dtype"), value.get("shape"))
    if how not in ("png", "jpeg") or not isinstance(value.get("data"), bytes):
        raise WireError(f"image has format {how!r:.40}, expected png, jpeg or raw and its bytes")
    return EncodedImage(value["data"])


def picture(value: object, name: str) -> NDArray[np.uint8]:
    """Give an image as RGB (height, width, 3); raise WireError where it is none."""
    if isinstance(value, EncodedImage | bytes):
        try:
            value = jpeg.decode(value.data if isinstance(value, EncodedImage) else value)
        except (*jpeg.DAMAGE, NoCameraError) as error:
            raise WireError(f"'{name}' is no JPEG or PNG ({' '.join(str(error).split())[:120]})") from None
    if not isinstance(value, np.ndarray):
        raise WireError(f"'{name}' is a {type(value).__name__}, expected an image: uint8 of shape (height, width, 3)")
    if value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3:
        hint = "; colours go last" if value.ndim == 3 and value.shape[0] == 3 else ""
        raise WireError(
            f"'{name}' has type {value.dtype} and shape {value.shape}, expected uint8 of shape (height, width, 3){hint}"
        )
    if not all(1 <= side <= MAX_SIDE for side in value.shape[:2]) or value.size > 3 * jpeg.MAX_PIXELS:
        raise WireError(
            f"'{name}' has shape {value.shape}, expected a picture of at most {jpeg.MAX_PIXELS} pixels, no side beyond "
            f"{MAX_SIDE}"
        )
    return value


def encode_openpi(reply: Mapping[str, Any]) -> bytes:
    """Write a frame for openpi-client."""
    import msgpack

    return bytes(msgpack.packb(reply, default=lambda one: _packed(one, bytes_keys=True)))


def encode_vla_eval(message: Mapping[str, Any]) -> bytes:
    """Write a frame for vla-eval."""
    import msgpack

    return bytes(msgpack.packb(message, default=lambda one: _packed(one, bytes_keys=False)))


def _packed(one: object, *, bytes_keys: bool) -> Any:
    """Say an array, or a number of numpy's, in msgpack's own types."""
    if isinstance(one, np.generic):
        return one.item()
    if not isinstance(one, np.ndarray):
        raise TypeError(f"cannot send a {type(one).__name__}")
    facts = {"__ndarray__": True, "data": one.tobytes(), "dtype": one.dtype.str, "shape": list(one.shape)}
    return {key.encode(): value for key, value in facts.items()} if bytes_keys else facts
