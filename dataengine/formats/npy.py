"""Objects and arrays out of a .npy file, without trusting it.

numpy keeps dicts and lists in .npy by way of pickle, and unpickling runs whatever a file asks for. Here a file may hold
dicts, lists, tuples, strings, bytes, numbers, numpy arrays and numpy scalars, and nothing else:

1. The header is matched against one pattern; a plain array must be as large as the file says it is.
2. All opcodes of the pickle are listed first, none is run. What no such object needs is refused, as is a memo index
   larger than the file: it would make the unpickler allocate that many slots.
3. Names resolve to stand-ins of this file, never to numpy's own functions: those allocate any shape that they are told,
   and take a state that turns bytes into pointers. A name that numpy's pickles do not need stops the reading.

Listing the opcodes costs 0.2 microseconds each: 20 ms for the poses of a scene with eight cameras (320 KB).
"""

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError

MAGIC = b"\x93NUMPY"
MAX_BYTES = 64 * 2**20
"""Largest file of objects that is read: they are notes beside a recording, some MB at most."""
MAX_OPCODES = 5_000_000
"""Most steps of a pickle; one byte may ask for an object of 64, and a scene needs 100,000."""
MAX_HEADER = 10_000
HEADER = re.compile(
    r"\{'descr': '(?P<descr>[<>|=]?[biufcSU]\d{1,6}|\|O)', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(?:\d{1,19}L?,? ?)*)\),? ?\}\s*"
)
ITEM = re.compile(r"[biufcSU]\d{1,6}|O8?")
"""Dtypes that an array inside of a pickle may have."""

NEEDED = """
PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT
BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS
BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD
"""
OPCODES = frozenset(NEEDED.split())
"""What pickles of protocol 3 (numpy 1), 4 (numpy 2) and 5 use for plain objects and arrays."""


def read(path: str | Path, max_bytes: int = MAX_BYTES) -> Any:
    """Return the object that a file holds, an array where it holds an array of numbers.

    Raise RecordError, in one line, for a file that is missing, damaged, larger than `max_bytes` or asks for more than
    plain objects and numpy arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise RecordError(f"{path.name} is missing")
    size = path.stat().st_size
    if size > max_bytes:
        raise RecordError(f"{path.name}: has {size} bytes, expected {max_bytes} at most")
    try:
        return loads(path.read_bytes())
    except OSError as error:
        raise RecordError(f"{path.name}: cannot be read ({error.strerror})") from error
    except RecordError as error:
        raise RecordError(f"{path.name}: {error}") from error


def loads(data: bytes) -> Any:
    """As `read`, from the bytes of a file."""
    dtype, shape, is_fortran, start = _header(data)
    body = data[start:]
    if dtype.hasobject:
        value = _unpickle(body)
        if not isinstance(value, np.ndarray) or value.dtype != object or value.shape != shape:
            raise RecordError(f"the pickle holds {_kind(value)}, the header promises objects of shape {shape}")
        return value.item() if shape == () else value.view(np.ndarray)
    expected = math.prod(shape) * dtype.itemsize
    if expected != len(body):
        raise RecordError(f"holds {len(body)} bytes of numbers, the header promises {expected}; truncated?")
    return np.frombuffer(body, dtype).reshape(shape, order="F" if is_fortran else "C")


def _header(data: bytes) -> tuple[np.dtype, tuple[int, ...], bool, int]:
    """Dtype, shape, order of columns, and where the contents start."""
    if not data:
        raise RecordError("the file has 0 bytes")
    if data[:6] != MAGIC or len(data) < 12 or data[6] not in (1, 2, 3):
        raise RecordError(f"not a .npy file of version 1 to 3: starts with {data[:8]!r}")
    width = 2 if data[6] == 1 else 4
    length = int.from_bytes(data[8 : 8 + width], "little")
    start = 8 + width + length
    if length > MAX_HEADER or start > len(data):
        raise RecordError(f"the header claims {length} bytes in a file of {len(data)}; truncated?")
    found = HEADER.fullmatch(data[8 + width : start].decode("latin-1"))
    if not found:
        raise RecordError(f"header {data[8 + width : start][:80]!r} is none of a plain array or of objects")
    shape = tuple(int(number) for number in re.findall(r"\d+", found["shape"]))
    return _item_type(found["descr"]), shape, found["fortran"] == "True", start


def _item_type(text: str) -> np.dtype:
    try:
        dtype = np.dtype(object if text.lstrip("|") in ("O", "O8") else text)
    except TypeError as error:
        raise RecordError(f"no dtype '{text}'") from error
    if not dtype.itemsize:
        raise RecordError(f"dtype '{text}' has no bytes")
    return dtype


def _kind(value: Any) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _word(found: Any) -> str:
    """Show what a file says, on one line."""
    return ascii(str(found)[:120])[1:-1]


def _unpickle(data: bytes) -> Any:
    _check_opcodes(data)
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except RecordError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise RecordError(f"the pickle is damaged ({type(error).__name__}: {_word(error)})") from error


def _check_opcodes(data: bytes) -> None:
    try:
        for i, (opcode, argument, position) in enumerate(pickletools.genops(io.BytesIO(data))):
            if i >= MAX_OPCODES:
                raise RecordError(f"the pickle has more than {MAX_OPCODES} steps")
            if opcode.name not in OPCODES:
                wanted = f"load '{_word(argument)}' ({opcode.name})" if argument else f"run {opcode.name}"
                raise RecordError(f"the pickle tries to {wanted} at byte {position}; it was not run")
            if opcode.name == "LONG_BINPUT" and argument is not None and argument > len(data):
                raise RecordError(f"the pickle numbers {argument} objects in {len(data)} bytes")
    except ValueError as error:  # what pickletools raises where it cannot go on
        raise RecordError(f"the pickle is damaged or truncated ({_word(error)})") from error


class _Array(np.ndarray):
    """An array whose state is checked before numpy takes it."""

    def __setstate__(self, state: Any) -> None:
        _, shape, item, is_fortran, data = state
        if not isinstance(item, _Item) or not all(type(n) is int and n >= 0 for n in shape):
            raise RecordError("the pickle holds an array without a plain dtype and shape")
        dtype = item.dtype
        found = len(data) if isinstance(data, bytes | list) else -1
        expected = math.prod(shape) * (1 if dtype.hasobject else dtype.itemsize)
        if isinstance(data, list) != dtype.hasobject or found != expected:
            raise RecordError(f"the pickle holds an array of shape {shape} and {dtype}, but {found} bytes or items")
        super().__setstate__((1, shape, dtype, bool(is_fortran), data))  # type: ignore[arg-type]


class _Item:
    """A dtype that takes a byte order from a pickle, and nothing else."""

    def __init__(self, code: str) -> None:
        if not isinstance(code, str) or not ITEM.fullmatch(code):
            raise RecordError(f"the pickle asks for the dtype '{_word(code)}', expected numbers, text or objects")
        self.dtype = _item_type(code)

    def __setstate__(self, state: Any) -> None:
        _, order, *described = state[:5]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in described):
            raise RecordError("the pickle asks for a dtype of several fields, expected numbers, text or objects")
        if order in "<>":
            self.dtype = self.dtype.newbyteorder(order)


class _StandIn:
    """What a name in a pickle resolves to; it can be called where numpy's own would be, and cannot be changed."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any] | None = None) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        if self._call is None:
            raise RecordError("the pickle makes an array in a way that numpy does not")
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise RecordError("the pickle tries to change a function")


_NDARRAY = _StandIn()


def _reconstruct(kind: Any, shape: tuple[int, ...], _code: bytes) -> _Array:
    """Make the empty array that a pickle fills afterwards."""
    if kind is not _NDARRAY or shape != (0,):
        raise RecordError(f"the pickle starts an array with shape {_word(shape)}, expected (0,)")
    return _Array((0,), np.int8)


def _scalar(item: _Item, data: bytes) -> Any:
    if not isinstance(data, bytes) or item.dtype.hasobject or len(data) != item.dtype.itemsize:
        raise RecordError("the pickle holds a number whose bytes do not fit its dtype")
    return np.frombuffer(data, item.dtype)[0]


def _from_buffer(data: bytes, item: _Item, shape: tuple[int, ...], order: str) -> NDArray:
    """Make an array as pickles of protocol 5 hold it."""
    if item.dtype.hasobject or math.prod(shape) * item.dtype.itemsize != len(data):
        raise RecordError(f"the pickle holds an array of shape {_word(shape)} in {len(data)} bytes")
    return np.frombuffer(data, item.dtype).reshape(shape, order="F" if order == "F" else "C")


_STAND_INS = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _StandIn(lambda code, _align=False, _copy=True: _Item(code)),
    ("numpy.core.multiarray", "_reconstruct"): _StandIn(_reconstruct),
    ("numpy.core.multiarray", "scalar"): _StandIn(_scalar),
    ("numpy.core.numeric", "_frombuffer"): _StandIn(_from_buffer),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Resolve a name to its stand-in; numpy 2 calls `numpy.core` `numpy._core`."""
        found = _STAND_INS.get((module.replace("numpy._core.", "numpy.core.", 1), name))
        if found is None:
            raise RecordError(f"the pickle tries to load {_word(module)}.{_word(name)}; it was not run")
        return found
