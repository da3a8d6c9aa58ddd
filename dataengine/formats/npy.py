"""Objects and arrays out of a .npy file, without trusting it.

numpy keeps dicts and lists in .npy by way of pickle, and unpickling runs whatever a file asks for. Here a file may hold
dicts, lists, tuples, strings, bytes, numbers, numpy arrays and numpy scalars, and nothing else:

1. The header is matched against one pattern; a plain array must be as large as the file says it is.
2. All opcodes of the pickle are listed first, none is run. What no such object needs is refused, as is a memo index
   larger than the file: it would make the unpickler allocate that many slots.
3. Names resolve to stand-ins of this file, never to numpy's own functions: those allocate any shape that they are told,
   and take a state that turns bytes into pointers. A name that numpy's pickles do not need stops the reading.
4. Keys of dicts are plain: to hash a tuple of tuples of tuples, each named ten times, takes for ever. What came out is
   then counted with everything as often as it is named, so that whoever walks over it comes to an end.

Listing and running opcodes costs a microsecond each: 0.1 s for the poses of a scene with eight cameras (320 KB).
"""

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.formats import files, lfs

MAGIC = b"\x93NUMPY"
MAX_BYTES = 64 * 2**20
"""Largest file of objects that is read: they are notes beside a recording, some MB at most."""
MAX_OPCODES = 5_000_000
"""Most steps of a pickle; one byte may ask for an object of 64, and a scene needs 100,000."""
MAX_HEADER = 10_000
MAX_SIDE = 2**56
"""Largest dimension, also of an array that has none in another: numpy multiplies them."""
MAX_DIMENSIONS = 32
MAX_DEPTH = 20
"""Lists and dicts in one another; a scene has four."""
MAX_WEIGHT = 4 * MAX_BYTES
"""Bytes of all objects, each as often as it is named; as many as are in the file but for words that come often."""
OBJECT_BYTES = 64
KEYS = (str, bytes, int, float, bool, np.number, type(None))
MAX_KEY = 2**64
"""Python's hashes of larger numbers can be made to be all alike."""
HEADER = re.compile(
    r"\{'descr': '(?P<descr>[<>|=]?[biufcSU]\d{1,6}|\|O)', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(?:\d{1,19}L?,? ?)*)\),? ?\}\s*"
)
ITEM = re.compile(r"[biufcSU]\d{1,6}|O8?")
"""Dtypes that an array inside of a pickle may have."""

NEEDED = """
PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT
BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS
BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD
"""
OPCODES = frozenset(NEEDED.split())
"""What pickles of protocol 3 (numpy 1), 4 (numpy 2) and 5 use for plain objects and arrays."""
OLD_OPCODES = OPCODES | {"SHORT_BINSTRING", "BINSTRING", "INT", "LONG"}
"""What Python 2 wrote beside these, by protocols 1 and 2."""


def read(path: str | Path, max_bytes: int = MAX_BYTES) -> Any:
    """Return the object that a file holds, an array where it holds an array of numbers.

    Raise RecordError, in one line, for a file that is missing, damaged, larger than `max_bytes` or asks for more than
    plain objects and numpy arrays.
    """
    path = Path(path)
    data = files.read_bytes(path, max_bytes)
    try:
        return loads(data)
    except RecordError as error:
        raise RecordError(f"{path.name}: {error}") from error


def loads(data: bytes) -> Any:
    """As `read`, from the bytes of a file."""
    dtype, shape, is_fortran, start = _header(data)
    body = data[start:]
    if dtype.hasobject:
        value = unpickled(body)
        if not isinstance(value, np.ndarray) or value.dtype != object or value.shape != shape:
            raise RecordError(f"the pickle holds {_kind(value)}, the header promises objects of shape {shape}")
        return value.item() if shape == () else value.view(np.ndarray)
    expected = math.prod(shape) * dtype.itemsize
    if expected != len(body):
        raise RecordError(f"holds {len(body)} bytes of numbers, the header promises {expected}; truncated?")
    try:
        return np.frombuffer(body, dtype).reshape(shape, order="F" if is_fortran else "C")
    except ValueError as error:  # of no items, and of dimensions whose product numpy cannot hold
        raise RecordError(f"an array of shape {shape} cannot be made ({error})") from error


def _count(shape: Any) -> int:
    """Count the items of a shape; raise RecordError when it is none that an array can have."""
    plain = isinstance(shape, tuple) and len(shape) <= MAX_DIMENSIONS and all(type(n) is int for n in shape)
    if not plain or not all(0 <= n <= MAX_SIDE for n in shape) or math.prod(n or 1 for n in shape) > MAX_SIDE:
        raise RecordError(f"a shape of {len(shape) if isinstance(shape, tuple) else 'no'} dimensions is out of bounds")
    return math.prod(shape)


def _header(data: bytes) -> tuple[np.dtype, tuple[int, ...], bool, int]:
    """Dtype, shape, order of columns, and where the contents start."""
    if not data:
        raise RecordError("the file has 0 bytes")
    if data[:6] != MAGIC or len(data) < 12 or data[6] not in (1, 2, 3):
        raise RecordError(lfs.why(data, f"not a .npy file of version 1 to 3: starts with {data[:8]!r}"))
    width = 2 if data[6] == 1 else 4
    length = int.from_bytes(data[8 : 8 + width], "little")
    start = 8 + width + length
    if length > MAX_HEADER or start > len(data):
        raise RecordError(f"the header claims {length} bytes in a file of {len(data)}; truncated?")
    match = HEADER.fullmatch(data[8 + width : start].decode("latin-1"))
    if not match:
        raise RecordError(f"header {data[8 + width : start][:80]!r} is none of a plain array or of objects")
    shape = tuple(int(number) for number in re.findall(r"\d+", match["shape"]))
    _count(shape)
    return _item_type(match["descr"]), shape, match["fortran"] == "True", start


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


def _word(value: Any) -> str:
    """Show what a file says, on one line; of what is no word its kind alone, for it may have no end."""
    return ascii(value[:120])[1:-1] if isinstance(value, str) else f"a {type(value).__name__}"


def unpickled(data: bytes, *, is_old: bool = False) -> Any:
    """Return the object that a pickle holds, made of plain ones and arrays; raise RecordError when it asks for more.

    `is_old` also takes what Python 2 wrote, whose words are read as latin1: its arrays lie in words.
    """
    _check_opcodes(data, OLD_OPCODES if is_old else OPCODES)
    try:
        value = _Unpickler(io.BytesIO(data), encoding="latin1" if is_old else "ASCII").load()
    except RecordError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise RecordError(f"the pickle is damaged ({type(error).__name__}: {_word(str(error))})") from error
    _weigh(value)
    return value


def _check_opcodes(data: bytes, allowed: frozenset[str]) -> None:
    try:
        for i, (opcode, argument, position) in enumerate(pickletools.genops(io.BytesIO(data))):
            if i >= MAX_OPCODES:
                raise RecordError(f"the pickle has more than {MAX_OPCODES} steps")
            if opcode.name not in allowed:
                wanted = (
                    f"load '{_word(argument)}' ({opcode.name})" if isinstance(argument, str) else f"run {opcode.name}"
                )
                raise RecordError(f"the pickle tries to {wanted} at byte {position}; it was not run")
            if opcode.name == "LONG_BINPUT" and argument is not None and argument > len(data):
                raise RecordError(f"the pickle numbers {argument} objects in {len(data)} bytes")
    except ValueError as error:  # what pickletools raises where it cannot go on
        raise RecordError(f"the pickle is damaged or truncated ({_word(str(error))})") from error


class _Array(np.ndarray):
    """An array whose state is checked before numpy takes it."""

    def __setstate__(self, state: Any) -> None:
        _, shape, item, is_fortran, data = state
        if not isinstance(item, _Item):
            raise RecordError("the pickle holds an array without a plain dtype")
        data = data.encode("latin1") if isinstance(data, str) else data  # of Python 2
        count, dtype = _count(shape), item.dtype
        size = len(data) if isinstance(data, bytes | list) else -1
        expected = count * (1 if dtype.hasobject else dtype.itemsize)
        if isinstance(data, list) != dtype.hasobject or size != expected:
            raise RecordError(f"the pickle holds an array of shape {shape} and {dtype}, but {size} bytes or items")
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
    if kind is not _NDARRAY or not isinstance(shape, tuple) or _count(shape) or len(shape) != 1:
        raise RecordError("the pickle starts an array with shape other than (0,)")
    return _Array((0,), np.int8)


def _scalar(item: _Item, data: bytes | str) -> Any:
    data = data.encode("latin1") if isinstance(data, str) else data
    if not isinstance(data, bytes) or item.dtype.hasobject or len(data) != item.dtype.itemsize:
        raise RecordError("the pickle holds a number whose bytes do not fit its dtype")
    return np.frombuffer(data, item.dtype)[0]


def _encode(text: str, encoding: str) -> bytes:
    """Make bytes as Python 3 writes them for Python 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise RecordError("the pickle makes bytes in a way that pickles do not")
    return text.encode("latin1")


def _from_buffer(data: bytes, item: _Item, shape: tuple[int, ...], order: str) -> NDArray:
    """Make an array as pickles of protocol 5 hold it."""
    if item.dtype.hasobject or _count(shape) * item.dtype.itemsize != len(data):
        raise RecordError(f"the pickle holds an array of shape {shape} in {len(data)} bytes")
    return np.frombuffer(data, item.dtype).reshape(shape, order="F" if order == "F" else "C")


_STAND_INS = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _StandIn(lambda code, _align=False, _copy=True: _Item(code)),
    ("numpy.core.multiarray", "_reconstruct"): _StandIn(_reconstruct),
    ("numpy.core.multiarray", "scalar"): _StandIn(_scalar),
    ("_codecs", "encode"): _StandIn(_encode),
    ("numpy.core.numeric", "_frombuffer"): _StandIn(_from_buffer),
}


class _Unpickler(pickle._Unpickler):
    """Python's own, in Python, so that what becomes a key can be looked at before it is hashed."""

    dispatch: ClassVar[dict[int, Any]] = dict[int, Any](pickle._Unpickler.dispatch)
    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a name to its stand-in; numpy 2 calls `numpy.core` `numpy._core`."""
        stand_in = _STAND_INS.get((module.replace("numpy._core.", "numpy.core.", 1), name))
        if stand_in is None:
            raise RecordError(f"the pickle tries to load {_word(module)}.{_word(name)}; it was not run")
        return stand_in

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _check_key(key)
        self.stack[-1][key] = value

    def _set_items(self) -> None:
        items = self.pop_mark()
        for key in items[::2]:
            _check_key(key)
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    dispatch[pickle.SETITEM[0]] = _set_item
    dispatch[pickle.SETITEMS[0]] = _set_items


def _check_key(key: Any) -> None:
    if not isinstance(key, KEYS) or (isinstance(key, int) and abs(key) > MAX_KEY):
        raise RecordError(f"the pickle has a dict with {_kind(key)} for a key, expected a word or a number")


def _weigh(value: Any) -> None:
    """Go down level by level and add up what each object takes, as often as it is named."""
    weight, level = 0, [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                below += node.keys()
                below += node.values()
            elif isinstance(node, list | tuple):
                below += node
            elif isinstance(node, np.ndarray) and node.dtype.hasobject:
                below += node.ravel().tolist()
            else:
                weight += OBJECT_BYTES + (
                    len(node) if isinstance(node, str | bytes | bytearray) else getattr(node, "nbytes", 8)
                )
            if weight + OBJECT_BYTES * len(below) > MAX_WEIGHT:
                raise RecordError(f"its objects take more than {MAX_WEIGHT} bytes with each as often as it is named")
        if not below:
            return
        level = below
    raise RecordError(f"its objects lie more than {MAX_DEPTH} deep in one another")
