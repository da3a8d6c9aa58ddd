"""Objects in .npy files: what numpy wrote comes back, and whatever else a file asks for is refused, not run."""

import os
import pickle
import re
import struct
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataengine.errors import RecordError
from dataengine.formats import npy
from tests.support.npy_files import POSES, npy_of, with_pickle


def assert_equal(array: Any, expected: Any) -> None:
    if isinstance(expected, np.ndarray):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)
    elif isinstance(expected, dict):
        assert list(array) == list(expected)
        for key, value in expected.items():
            assert_equal(array[key], value)
    elif isinstance(expected, list | tuple):
        assert len(array) == len(expected)
        for one, other in zip(array, expected, strict=True):
            assert_equal(one, other)
    else:
        assert (type(array), array) == (type(expected), expected)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_what_numpy_saved_comes_back_value_by_value(protocol: int, core: bytes) -> None:
    data = npy_of(POSES, protocol)
    if protocol < 4:  # longer words of protocol 4 carry their length in a frame
        data = data.replace(b"numpy._core", core)
    assert_equal(npy.loads(data), POSES)


def test_a_file_saved_by_numpy_itself_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "poses.npy", np.array(POSES, dtype=object), allow_pickle=True)
    assert_equal(npy.read(tmp_path / "poses.npy"), POSES)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="<f4").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(5),
        np.array(["ab", "c"]),
        np.array([[1, None], ["a", [3]]], dtype=object),
    ],
)
def test_arrays_come_back_with_their_shape_and_dtype(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", array, allow_pickle=True)
    assert_equal(npy.read(tmp_path / "array.npy"), array)


class Planted:
    """Pickles as a call."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable, tuple]:
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {}",), "posix.system"),
        (eval, ("open('{}', 'w')",), "builtins.eval"),
        (partial, (open, "{}", "w"), "functools.partial"),
        (subprocess.Popen, (["touch", "{}"],), "subprocess.Popen"),
        (np.load, ("{}",), "numpy.load"),
        (bytearray, (10**12,), "builtins.bytearray"),
    ],
)
@pytest.mark.parametrize("protocol", [3, 4])
def test_a_file_that_loads_anything_else_is_refused_by_name_and_not_run(
    function: Callable, arguments: tuple, name: str, protocol: int, tmp_path: Path
) -> None:
    mark = tmp_path / "was_here"
    filled = [a.format(mark) if isinstance(a, str) else a for a in arguments]
    filled = [[word.format(mark) for word in a] if isinstance(a, list) else a for a in filled]
    (tmp_path / "tcp.npy").write_bytes(npy_of({"tcp": [Planted(function, *filled)]}, protocol))
    with pytest.raises(RecordError, match=f"^tcp.npy: the pickle tries to load {re.escape(name)}; it was not run"):
        npy.read(tmp_path / "tcp.npy")
    assert not mark.exists()


def test_the_planted_file_does_run_where_pickles_are_trusted(tmp_path: Path) -> None:
    (tmp_path / "tcp.npy").write_bytes(npy_of(Planted(os.system, f"touch {tmp_path / 'was_here'}")))
    np.load(tmp_path / "tcp.npy", allow_pickle=True)
    assert (tmp_path / "was_here").exists()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"(S'touch x'\nios\nsystem\n.", "STRING"),
        (b"(ios\nsystem\n.", "load 'os system' \\(INST\\)"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "run NEWOBJ"),
        (b"\x80\x02cnumpy\nndarray\n\x8a\x05" + (10**10).to_bytes(5, "little") + b"\x85R.", "in a way that numpy"),
        (b"\x80\x02cnumpy\ndtype\nX\x05\x00\x00\x00V9999\x85R.", "asks for the dtype 'V9999'"),
        (b"\x80\x02cnumpy\ndtype\nN}X\x0c\x00\x00\x00__defaults__N\x86s\x86b.", "damaged|change a function|for a key"),
        (b"\x80\x02cnumpy\ndtype\n}b.", "tries to change a function"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "numbers 2147483647 objects"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**50) + b"abc.", "damaged or truncated"),
        (b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"N.", "holds NoneType, the header promises"),
        (b"}" * 100 + b".", "header promises"),
        (b"\x80\x02N.", "holds NoneType, the header promises"),
    ],
)
def test_a_pickle_made_by_hand_is_refused_before_it_costs_memory(body: bytes, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        npy.loads(with_pickle(body))


def states(array: np.ndarray, **changed: Any) -> bytes:
    """The file of an array inside of a dict, with its pickled state changed."""

    class Lying:
        def __reduce__(self) -> tuple:
            function, arguments, state = array.__reduce__()
            arguments = (arguments[0], changed.get("start", arguments[1]), arguments[2])
            version, shape, dtype, is_fortran, data = state
            return (
                function,
                arguments,
                (
                    version,
                    changed.get("shape", shape),
                    changed.get("dtype", dtype),
                    is_fortran,
                    changed.get("data", data),
                ),
            )

    return npy_of({"tcp": Lying()})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (states(np.zeros(3), shape=(10**15,)), "array of shape \\(1000000000000000,\\) and float64, but 24 bytes"),
        (states(np.zeros(3), start=(10**12,)), "starts an array with shape"),
        (states(np.zeros(3), data=b"short"), "but 5 bytes"),
        (states(np.zeros(3), shape=(-1,)), "a shape of 1 dimensions is out of bounds"),
        (states(np.zeros(2, object), data=b"\x10" * 16), "but 16 bytes or items"),
        (states(np.zeros(2), dtype=np.dtype([("a", "f4"), ("b", "f4")])), "dtype"),
        (states(np.zeros(2), dtype=np.dtype("V8")), "dtype 'V8'"),
        (
            npy_of([np.float64(1)]).replace(struct.pack("<d", 1.0), b"x" * 8).replace(b"f8", b"f4"),
            "do not fit its dtype",
        ),
    ],
)
def test_an_array_inside_that_lies_about_its_size_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        npy.loads(data)


def header(text: str, body: bytes = b"", version: int = 1) -> bytes:
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return npy.MAGIC + bytes([version, 0]) + size + text.encode() + body


FLOATS = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"PK\x03\x04" + bytes(20), "not a .npy file"),
        (npy.MAGIC + b"\x01\x00", "not a .npy file"),
        (npy.MAGIC + b"\x09\x00" + bytes(20), "not a .npy file"),
        (npy.MAGIC + b"\x01\x00" + struct.pack("<H", 60000) + b"{'descr'", "claims 60000 bytes"),
        (npy.MAGIC + b"\x02\x00" + struct.pack("<I", 2**31) + b"{'descr'", "claims 2147483648 bytes"),
        (header(FLOATS % 10**15, bytes(80)), "holds 80 bytes of numbers, the header promises 8000000000000000"),
        (header(FLOATS % "3", bytes(20)), "truncated"),
        (header(FLOATS % "__import__('os').system('true')"), "none of a plain array"),
        (header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }"), "none of a plain array"),
        (header("{'descr': '<f7', 'fortran_order': False, 'shape': (1,), }", bytes(7)), "no dtype '<f7'"),
        (header("{'descr': '<U0', 'fortran_order': False, 'shape': (9999999999,), }"), "has no bytes"),
        (
            header("{'descr': '|O', 'fortran_order': False, 'shape': (7,), }", pickle.dumps(np.array({}, object))),
            "promises",
        ),
    ],
)
def test_a_header_that_is_damaged_or_claims_too_much_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        npy.loads(data)


def test_headers_of_later_versions_are_read() -> None:
    for version in (2, 3):
        np.testing.assert_array_equal(npy.loads(header(FLOATS % 2, np.ones(2).tobytes(), version)), [1, 1])


def test_a_file_cut_anywhere_or_with_any_byte_changed_never_raises_anything_but_a_record_error() -> None:
    data = npy_of(POSES)
    for cut in range(0, len(data), 7):
        with pytest.raises(RecordError):
            npy.loads(data[:cut])
    rng = np.random.default_rng(1)
    for offset in rng.integers(len(data), size=600):
        changed = bytearray(data)
        changed[offset] ^= int(rng.integers(1, 256))
        try:
            npy.loads(bytes(changed))
        except RecordError as error:
            assert "\n" not in str(error)


def test_a_missing_or_huge_file_says_so_without_being_read(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"tcp\.npy is missing"):
        npy.read(tmp_path / "tcp.npy")
    with (tmp_path / "tcp.npy").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(RecordError, match="expected 67108864 at most"):
        npy.read(tmp_path / "tcp.npy")


def test_a_pickle_of_more_steps_than_any_recording_needs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npy, "MAX_OPCODES", 50)
    with pytest.raises(RecordError, match="more than 50 steps"):
        npy.loads(npy_of(POSES))
