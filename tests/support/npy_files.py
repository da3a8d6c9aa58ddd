"""Arrays and objects as .npy files, sound and malicious."""

import io
import pickle
from typing import Any

import numpy as np

RNG = np.random.default_rng(0)

POSES = {
    "043322070878": [{"timestamp": 1_640_000_000_000 + 100 * i, "tcp": RNG.normal(size=7)} for i in range(3)],
    "f0123": {1_640_000_000_000: {"gripper_info": [110.0, 0, 2**40, -1.5, True, None], "name": "Zange"}},
    "scalars": [np.float64(1.5), np.float32(2.5), np.int64(-3), np.bool_(True), np.str_("ä")],
    "arrays": [
        np.arange(6, dtype="i2").reshape(2, 3),
        np.asfortranarray(RNG.normal(size=(2, 3))),
        np.empty((0, 3)),
        np.array([[1, "a"], [None, [2.0]]], dtype=object),
    ],
    "plain": (1, (), b"bytes", "", {}, []),
}


def npy_of(value: Any, protocol: int = 4) -> bytes:
    """A 0-d array of objects as numpy.save writes it; numpy 1 used protocol 3, numpy 2 uses 4."""
    array = np.empty((), object)
    array[()] = value
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    start = 10 + int.from_bytes(file.getvalue()[8:10], "little")
    return file.getvalue()[:start] + pickle.dumps(array, protocol)


def with_pickle(body: bytes) -> bytes:
    """A file of one object whose pickle is written by hand."""
    data = npy_of(0)
    return data[: 10 + int.from_bytes(data[8:10], "little")] + body
