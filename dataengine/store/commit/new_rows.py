"""Lays episodes out as rows of `episodes.lance`, without a copy of what is large."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import google_crc32c
import lance
import numpy as np
import pyarrow as pa

from dataengine import texts
from dataengine.episode import CAMERA_SLOTS, Episode
from dataengine.hands import rows as hands_rows
from dataengine.schema import (
    CANONICAL,
    CUT,
    RAW,
    checksum_column,
    exact_column,
    exact_dims_column,
    frames_column,
    offsets_column,
)
from dataengine.store.tables import EPISODES

BLOB: Final = lance.blob.BlobType()
BLOB_FIELDS: Final = list(BLOB.storage_type)
"""Bytes, or the place of bytes that lie elsewhere."""

PLAIN: Final = (
    *("episode_id", "dataset", "embodiment", "kind", "num_steps", "instruction", "time_ns"),
    *("state_encoding", "action_encoding", "split", "licence", "source_uri", "source_record"),
)
"""Columns that are fields of an episode."""


class NewRows:
    """The columns of one corpus, in which raw vectors are float32 if an older villa made it, else float64."""

    def __init__(self, table: pa.Schema) -> None:
        kinds = {name: table.field(name).type for name in RAW}
        fields = [column.with_type(kinds.get(column.name, column.type)) for column in EPISODES]
        self.schema = pa.schema(fields, metadata=EPISODES.metadata)
        self._types = {column.name: column.type for column in self.schema}
        """Kept, for Arrow makes them anew when asked: for 57 columns that takes longer than reading an episode."""
        self._nulls = {name: pa.nulls(1, kind) for name, kind in self._types.items()}
        self._rounds = self._types[RAW[0]].value_type == pa.float32()

    def notes(self, episode: Episode) -> dict[str, str]:
        """Say of an episode's raw vectors what is not there, or is not kept."""
        return dict(self._notes(episode))

    def batch(self, episode: Episode, more: Mapping[str, object]) -> pa.RecordBatch:
        """Make a row of an episode and the columns that it does not know of itself."""
        row: dict[str, object] = {name: getattr(episode, name) for name in PLAIN}
        row |= {
            **more,
            "control_hz": float(episode.control_hz),
            "texts": texts.to_row(episode.texts),
            "notes": json.dumps(dict(episode.notes), sort_keys=True),
        }
        row |= {field.name: getattr(episode.cut, field.name, None) for field in CUT}
        row |= hands_rows.to_row(episode.hands)
        for name in (*CANONICAL, *RAW):
            vector = getattr(episode, name)
            row[name] = None if vector is None else np.ravel(vector)
            row[f"{name}_dim"] = 0 if vector is None else vector.shape[1]
        for name in RAW:
            exact = getattr(episode, f"{name}_exact")
            row[exact_column(name)] = np.stack([*exact.values()], axis=1).ravel() if exact else None
            row[exact_dims_column(name)] = list(exact) if exact else None
        for slot in CAMERA_SLOTS:
            row |= _camera(slot, episode)
        return pa.record_batch([self._column(name, row[name]) for name in self._types], schema=self.schema)

    def _notes(self, episode: Episode) -> Iterator[tuple[str, str]]:
        for name in RAW:
            vector = getattr(episode, name)
            if vector is None:
                continue
            finite = np.isfinite(vector)
            if not finite.all():
                gaps = ", ".join(map(str, np.flatnonzero(~finite.all(axis=0)).tolist()))
                yield f"{name}_missing", f"values {gaps} are not finite at some steps; kept as published"
            if self._rounds and vector.dtype == np.float64:
                rounded = (vector.astype(np.float32) != vector) & finite
                rounded[:, list(getattr(episode, f"{name}_exact"))] = False
                if not rounded.any():
                    continue
                kept = "numbers are rounded to float32, as all of this corpus, which an older villa made"
                yield f"{name}_lost", f"{kept}; ingest into a new corpus to keep them whole"

    def _column(self, name: str, value: object) -> pa.Array:
        """Make a column of one value; numpy vectors and frames without a copy."""
        if value is None:
            return self._nulls[name]
        kind = self._types[name]
        if isinstance(kind, lance.blob.BlobType):
            return _blob(cast(bytes, value))
        if isinstance(value, np.ndarray):
            values = pa.array(np.ascontiguousarray(value, kind.value_type.to_pandas_dtype()), kind.value_type)
            return pa.ListArray.from_arrays(pa.array([0, len(value)], pa.int32()), values, type=kind)
        return pa.array([value], kind)


def _camera(slot: str, episode: Episode) -> dict[str, Any]:
    """Give the columns of a camera slot."""
    frames = episode.cameras.get(slot)
    jpegs = None if frames is None else frames.jpegs
    blob = None if jpegs is None else b"".join(jpegs)
    return {
        frames_column(slot): blob,
        checksum_column(slot): None if blob is None else google_crc32c.value(blob),
        offsets_column(slot): None if jpegs is None else np.cumsum([0, *map(len, jpegs)], dtype=np.int64),
        **{
            f"{size}_{slot}": None if frames is None else getattr(frames, size)
            for size in ("height", "width", "native_height", "native_width")
        },
    }


def _blob(data: bytes) -> pa.Array:
    """Make what `lance.blob_array([data])` makes, around the bytes instead of a copy of them."""
    ends = pa.py_buffer(np.array([0, len(data)], np.int64))
    payload = pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(data)])
    no_position = [pa.nulls(1, field.type) for field in BLOB_FIELDS[1:]]
    storage = pa.StructArray.from_arrays([payload, *no_position], fields=BLOB_FIELDS)
    return pa.ExtensionArray.from_storage(BLOB, storage)
