"""Small files that ask for much: each is refused at once, in one line, within the memory of a small machine."""

import json
import os
import pickle
import re
import struct
import subprocess
import sys
import tarfile
import textwrap
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dataengine.errors import RecordError, SourceError
from dataengine.formats import example, features, hdf5, npy, tar, tfrecord
from dataengine.formats.features import FeaturesDict, Leaf, Repeated
from tests.support.npy_files import npy_of, with_pickle


def within(megabytes: int, code: str, *argv: object) -> str:
    """Run code in a process of its own that may grow by so much once all is imported; a crash or a hang fails."""
    head = """
        import resource, sys
        from pathlib import Path
        import numpy, h5py
        from dataengine.errors import RecordError
        from dataengine.formats import hdf5, npy, example, tfrecord
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + %d * 2**20,) * 2)
    """
    script = textwrap.dedent(head % megabytes) + textwrap.dedent(code)
    command = [sys.executable, "-c", script, *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


# ---- npy: objects


def laughs(levels: int = 40) -> tuple:
    value: tuple = ()
    for _ in range(levels):
        value = (value,) * 10
    return value


def deep(depth: int) -> bytes:
    """A dict with a tuple in a tuple in a tuple ... for a key."""
    return b"\x80\x02}N" + b"\x85" * depth + b"Ns."


NUMPY = b"\x80\x02cnumpy\n"
RECONSTRUCT = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
LAUGHS = pickle.dumps(laughs(), 2)[2:-1]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x80\x02}" + LAUGHS + b"Ns.", "a dict with tuple for a key"),
        (b"\x80\x02}(" + LAUGHS + b"Nu.", "a dict with tuple for a key"),
        (deep(250_000), "a dict with tuple for a key"),
        (RECONSTRUCT + LAUGHS + b"C\x01b\x87R.", "a shape of 10 dimensions is out of bounds"),
        (NUMPY + b"dtype\n" + LAUGHS + b"\x85R.", "asks for the dtype 'a tuple'"),
        (b"\x80\x02\x8b" + struct.pack("<i", 10**6) + b"\x7f" * 10**6 + b".", "run LONG4"),
        (b"\x80\x02}\x8a\xff" + b"\x7f" * 255 + b"Ns.", "a dict with int for a key"),
    ],
    ids=["key", "keys", "deep key", "shape", "dtype", "long", "long key"],
)
def test_a_pickle_whose_keys_or_shapes_have_no_end_is_refused(body: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(with_pickle(body))
    code = """
        try:
            npy.read(sys.argv[1])
        except RecordError as error:
            print(error)
    """
    assert re.search(reason, within(600, code, tmp_path / "a.npy"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (lambda: {"color": [laughs(), 1]}, "as often as it is named|deep in one another"),
        (lambda: {"color": [np.zeros(10**6)] * 1000}, "take more than"),
        (lambda: ["a" * 10**6] * 1000, "take more than"),
        (lambda: np.array([{"a": ["a" * 10**6] * 1000}], object), "take more than"),
        (lambda: [[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]], "deep in one another"),
        (lambda: endless(), "deep in one another"),
    ],
    ids=["laughs", "arrays", "texts", "array of objects", "deep", "endless"],
)
def test_objects_that_are_named_again_and_again_are_counted_each_time(value: Callable[[], Any], reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        npy.loads(npy_of(value()))


def endless() -> list:
    nested: list = []
    nested.append(nested)
    return nested


@pytest.mark.parametrize("shape", ["0, 9999999999999999999", "0, 99999999999, 99999999999", "1, " * 40 + "0"])
def test_a_shape_that_numpy_cannot_make_is_a_record_error(shape: str) -> None:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({shape}), }}\n"
    data = npy.MAGIC + b"\x01\x00" + struct.pack("<H", len(text)) + text.encode()
    with pytest.raises(RecordError, match="out of bounds"):
        npy.loads(data)


# ---- HDF5


def made(path: Path, fill: Callable[[h5py.File], Any]) -> Path:
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def packed_bomb(file: h5py.File) -> None:
    data = file.create_dataset("a", shape=(2**14,), dtype="f8", chunks=(2**14,), compression="gzip")
    data.id.write_direct_chunk((0,), zlib.compress(bytes(2**24), 9))


def twice_packed(file: h5py.File) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((1024,))
    plist.set_deflate(9)
    plist.set_deflate(9)
    space = h5py.h5s.create_simple((1024,))
    h5py.h5d.create(file.id, b"a", h5py.h5t.NATIVE_DOUBLE, space, plist)


def wide_chunk(file: h5py.File) -> None:
    file.create_dataset("a", shape=(1,), maxshape=(None,), dtype="f8", chunks=(2**28,), compression="gzip")


@pytest.mark.parametrize(
    ("fill", "reason"),
    [
        (lambda f: f.create_dataset("a", shape=(2**29,), dtype="f8"), "takes 4294967296 bytes, with 0 on the disk"),
        (lambda f: f.create_dataset("a", shape=(2**33,), dtype="f8"), "takes 68719476736 bytes"),
        (lambda f: f.create_dataset("a", (2**40,), "f8", chunks=(2**10,), compression="gzip"), "with 0 on the disk"),
        (wide_chunk, "takes 2147483648 bytes"),
        (packed_bomb, "inflates to more than its 131072 bytes"),
        (twice_packed, r"packed by filters \[1, 1\]"),
        (lambda f: f.create_dataset("a", shape=(9,), dtype=h5py.vlen_dtype("f8")), "holds object, expected numbers"),
        (lambda f: f.create_dataset("a", shape=(9,), dtype=h5py.ref_dtype), "holds object, expected numbers"),
        (lambda f: f.create_dataset("a", shape=(9,), dtype=[("x", "f4"), ("y", "S99999")]), "expected numbers"),
        (lambda f: f.create_dataset("a", shape=(9,), dtype="V1000000"), r"expected numbers"),
        (lambda f: f.create_dataset("a", data="text"), "expected numbers"),
    ],
    ids=["sparse", "huge", "chunks", "wide", "packed", "twice", "vlen", "reference", "compound", "opaque", "text"],
)
def test_a_dataset_that_is_larger_than_its_bytes_or_no_numbers_is_not_read(
    fill: Callable[[h5py.File], Any], reason: str, tmp_path: Path
) -> None:
    path = made(tmp_path / "a.h5", fill)
    assert path.stat().st_size < 300_000
    with pytest.raises(RecordError, match=rf"^a\.h5: '/a' .*{reason}"):
        hdf5.read(path, ["a"])


def test_many_arrays_together_have_one_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "MAX_BYTES", 20_000)
    path = made(tmp_path / "a.h5", lambda f: [f.create_dataset(key, data=np.ones(1_000)) for key in "abc"])
    assert len(hdf5.read(path, ["a", "b"])) == 2
    with pytest.raises(RecordError, match="'/c' of shape"):
        hdf5.read(path, ["a", "b"], ["c"])


def test_bytes_of_other_files_are_never_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789")
    made(tmp_path / "other.h5", lambda f: f.create_dataset("x", data=np.arange(10.0)))
    there = np.arange(4.0)

    def fill(file: h5py.File) -> None:
        file.create_dataset("external", shape=(10,), dtype="u1", external=[(str(secret), 0, 10)])
        file["link"] = h5py.ExternalLink("other.h5", "/x")
        file["folder"] = h5py.ExternalLink("other.h5", "/")
        file["soft"] = h5py.SoftLink("/folder/x")
        file["round"] = h5py.SoftLink("/round")
        layout = h5py.VirtualLayout(shape=(10,), dtype="f8")
        layout[:] = h5py.VirtualSource("other.h5", "x", shape=(10,))
        file.create_virtual_dataset("virtual", layout)
        file["group/there"] = there
        file["inside"] = h5py.SoftLink("/group/there")

    path = made(tmp_path / "a.h5", fill)
    for key in ("external", "link", "folder/x", "soft", "round", "virtual"):
        for required, optional in (([key], []), ([], [key])):
            with pytest.raises(RecordError, match=r"other files|another file or to itself"):
                hdf5.read(path, required, optional)
    np.testing.assert_array_equal(hdf5.read(path, ["inside"])["inside"], there)


def test_packed_arrays_are_read_as_h5py_reads_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {"noise": rng.normal(size=(500, 7)), "zeros": np.zeros((4_000, 20)), "flags": rng.random(99) > 0.5}

    def fill(file: h5py.File) -> None:
        for key, value in arrays.items():
            file.create_dataset(key, data=value, compression="gzip", shuffle=True, fletcher32=True, chunks=True)

    values = hdf5.read(made(tmp_path / "a.h5", fill), arrays)
    for key, value in arrays.items():
        np.testing.assert_array_equal(values[key], value)


# ---- tar


@pytest.mark.parametrize(
    "lines", [b"3 \n" * 340_000, b"9 a=bcde\n" * 110_000, b"1" * 10**6, b"6 a=b\n" * 2_000 + b"99 a=b\n"]
)
def test_an_extended_header_of_many_lines_ends_the_walk_at_once(lines: bytes, tmp_path: Path) -> None:
    head = tarfile.TarInfo("pax")
    head.type, head.size = tarfile.XHDTYPE, len(lines)
    member = tarfile.TarInfo("a.h5")
    blocks = head.tobuf() + lines + bytes(-len(lines) % 512) + member.tobuf() + bytes(1024)
    (tmp_path / "a.tar").write_bytes(blocks * 20)
    begun = time.perf_counter()
    index = tar.index(tmp_path / "a.tar", (".h5",))
    assert time.perf_counter() - begun < 5
    assert "byte 0" in (index.fault or "") or list(index.members) == ["a.h5"]


# ---- TFRecord and Example


def test_a_record_larger_than_protobuf_holds_costs_that_record(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    with path.open("wb") as file:
        file.write(tfrecord.frame(b"before"))
        length = struct.pack("<Q", 2**40)
        file.write(length + struct.pack("<I", tfrecord.masked_crc(length)))
        file.seek(2**40 + 4, os.SEEK_CUR)  # nothing of it is on the disk
        file.write(tfrecord.frame(b"after"))
    before, (_, error), after = tfrecord.records(path)
    assert (before, after) == ((0, b"before"), (2, b"after"))
    assert "a payload of 1099511627776 bytes" in str(error)


def record(**lists: list) -> bytes:
    made = example._example_class()()
    for key, values in lists.items():
        feature = made.features.feature[key]
        (feature.bytes_list if isinstance(values[0], bytes) else feature.int64_list).value.extend(values)
    return made.SerializeToString()


PACKED = zlib.compress(bytes(2**26), 9)


@pytest.mark.parametrize(
    ("leaf", "lists", "reason"),
    [
        (Leaf("number", "int32", (8, 8), "zlib"), {"a": [PACKED]}, "more than 256 bytes"),
        (Leaf("number", "int32", (None, 8), "zlib"), {"a": [PACKED] * 5}, "more than 0 bytes"),
        (Leaf("number", "int32", (8, 8), "zlib"), {"a": [zlib.compress(bytes(256))[:-6]]}, "ends too early"),
        (
            Leaf("number", "int8", (None, None), "zlib"),
            {"a/value": [PACKED], "a/shape": [2**40, 2**40]},
            "do not decode to int8",
        ),
        (Leaf("number", "int8", (None, None), "zlib"), {"a/value": [PACKED], "a/shape": [-1, 4]}, "negative dimension"),
    ],
    ids=["declared", "together", "cut", "stored", "negative"],
)
def test_a_packed_tensor_inflates_to_what_was_declared_and_no_more(
    leaf: Leaf, lists: dict, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "MAX_INFLATED", 2**26)
    node = Repeated(leaf) if len(lists.get("a", "")) > 1 else leaf
    with pytest.raises(RecordError, match=reason):
        example.decode(record(**lists), FeaturesDict({"a": node}))


def test_lengths_of_rows_that_wrap_around_are_no_lengths() -> None:
    lists = {"a/ragged_flat_values": [1, 2, 3], "a/ragged_row_lengths_0": [*[2**62] * 4, 3]}  # add up to 3
    with pytest.raises(RecordError, match=r"key 'a' holds 3 values, expected 18446744073709551619 x 1"):
        example.decode(record(**lists), FeaturesDict({"a": Repeated(Repeated(Leaf("number", "int64")))}))


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        ({"dtype": "V1000000000", "shape": {}}, "dtype 'V1000000000'"),
        ({"dtype": "f4,f4", "shape": {}}, "dtype 'f4,f4'"),
        ({"dtype": "f4," * 10**5 + "f4", "shape": {}}, "data type '' not understood"),
        ({"dtype": None, "shape": {}}, "TypeError"),
        ({"dtype": {"names": ["a"], "formats": ["f4"]}, "shape": {}}, "dtype"),
        ({"dtype": "float32", "shape": {"dimensions": [float("inf")]}}, "infinity"),
        ({"dtype": "float32", "shape": {"dimensions": ["1000000000000"]}}, "a dimension of 1000000000000"),
        ({"dtype": "float32", "shape": {"dimensions": [10**6, 10**6]}}, "an item of shape"),
        ({"dtype": "float32", "shape": {"dimensions": [1] * 100}}, "an item of shape"),
    ],
)
def test_features_that_no_record_can_have_are_refused_when_the_dataset_is_opened(tensor: dict, reason: str) -> None:
    leaf = {"pythonClassName": "Tensor", "tensor": tensor}
    tree = {"pythonClassName": "FeaturesDict", "featuresDict": {"features": {"a": leaf}}}
    with pytest.raises(SourceError, match=reason) as error:
        features.parse(json.loads(json.dumps(tree)), "features.json")
    assert len(str(error.value)) < 700


def test_a_sequence_that_is_declared_without_end_is_refused() -> None:
    item = {"pythonClassName": "Tensor", "tensor": {"dtype": "float32", "shape": {"dimensions": ["0"]}}}
    tree = {"pythonClassName": "Sequence", "sequence": {"feature": item, "length": str(10**12)}}
    whole = {"pythonClassName": "FeaturesDict", "featuresDict": {"features": {"a": tree}}}
    with pytest.raises(SourceError, match="a dimension of 1000000000000"):
        features.parse(whole, "features.json")
