"""Writes an Open X-Embodiment dataset with a real tfds builder; its schema follows from the values that it is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.rlds_writer import write


@dataclass(frozen=True)
class Stored:
    """Values (t, ...) that tfds is to store in a special way: `zlib` tensors, `png` images, float32 depth images."""

    values: np.ndarray
    encoding: str


def write_openx(
    folder: Path,
    name: str,
    steps: Mapping[str, Any] | list[Mapping[str, Any]],
    *,
    episode: Mapping[str, Any] | list[Mapping[str, Any]] | None = None,
    version: str = "0.1.0",
    split: str = "train",
) -> Path:
    """Write one episode, or a list of them, and return `<folder>/<name>/<version>`.

    `steps` is nested like the record. An array (t, height, width, 3) of uint8 becomes a JPEG image; any other array
    (t, ...) a Tensor of its dtype, () for (t,); a str a Text that every step repeats, a list of str one for each step.
    `is_first`, `is_last`, `is_terminal`, `reward` and `discount` are added. `episode` holds what lies beside `steps`.
    """
    import tensorflow_datasets as tfds

    records = [dict(s) for s in (steps if isinstance(steps, list) else [steps])]
    beside = episode if isinstance(episode, list) else [episode or {}] * len(records)
    for record in records:
        record.update(_flags(_length(record)))
    schema = {"steps": tfds.features.Dataset(_features(records[0], per_step=True))}
    schema |= _features(beside[0], per_step=False)
    episodes = [
        {"steps": [_at(record, i) for i in range(_length(record))], **_plain(around)}
        for record, around in zip(records, beside, strict=True)
    ]
    return write(folder, name, tfds.features.FeaturesDict(schema), {split: episodes}, version=version)


def _flags(t: int) -> dict[str, np.ndarray]:
    last = np.arange(t) == t - 1
    rates = {"reward": last.astype(np.float32), "discount": np.ones(t, np.float32)}
    return {**rates, "is_first": np.arange(t) == 0, "is_last": last, "is_terminal": last}


def _length(values: Mapping[str, Any]) -> int:
    for value in values.values():
        if isinstance(value, Mapping):
            if length := _length(value):
                return length
        elif isinstance(value, np.ndarray | Stored | list):
            return len(value.values if isinstance(value, Stored) else value)
    return 0


def _features(values: Mapping[str, Any], *, per_step: bool) -> dict[str, Any]:
    return {name: _feature(value, per_step=per_step) for name, value in values.items()}


def _feature(value: Any, *, per_step: bool) -> Any:
    import tensorflow_datasets as tfds

    f = tfds.features
    match value:
        case Mapping():
            return f.FeaturesDict(_features(value, per_step=per_step))
        case Stored(values, "zlib" | "bytes" as encoding):
            return f.Tensor(shape=values.shape[1:], dtype=values.dtype, encoding=encoding)
        case Stored(values, "png"):
            return f.Image(shape=values.shape[1:], dtype=values.dtype, encoding_format="png")
        case str() | [str(), *_]:
            return f.Text()
        case np.ndarray() if per_step and value.dtype == np.uint8 and value.ndim == 4:
            return f.Image(shape=value.shape[1:], dtype=np.uint8, encoding_format="jpeg")
        case np.ndarray():
            return f.Tensor(shape=value.shape[per_step:], dtype=value.dtype)
        case bool() | int() | float():
            return f.Scalar(dtype={bool: np.bool_, int: np.int64, float: np.float32}[type(value)])
    raise TypeError(f"no feature for {value!r}")


def _at(values: Mapping[str, Any], i: int) -> dict[str, Any]:
    step = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            step[name] = _at(value, i)
        elif isinstance(value, Stored):
            step[name] = value.values[i]
        else:
            step[name] = value if isinstance(value, str) else value[i]
    return step


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) if isinstance(value, Mapping) else value for name, value in values.items()}
