"""Latent actions of videos that are in no corpus, at rest: one `.npz` file, or a Lance table with a row for each video.

`.npz`: `latent` (n, k, d) codebook vectors and `codes` (n, k) of all videos after one another, `time_s` (n,) of each
first frame, `video` (n,) an index into `videos`, and the origin: `fingerprint`, `interval_s`. Lance: columns `video`,
`time_s`, and the two that `labels` describes, flat, with the same origin as metadata.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.episode import spelt
from dataengine.whole_file import whole_file
from dataengine.windows import labels
from dataengine.windows.window import LatentInfo


@dataclass(frozen=True, kw_only=True)
class VideoLatents:
    """Latent actions of one video; each joins the frame at `time_s` to that an interval later."""

    video: str
    time_s: NDArray[np.float64]
    """(n,) in the stream's own time."""
    latent: NDArray[np.float32]
    """(n, k, d)."""
    codes: NDArray[np.int16]
    """(n, k)."""


def write_npz(path: Path, info: LatentInfo, videos: Sequence[VideoLatents]) -> None:
    """Write one file that `numpy.load` reads without pickles; it appears whole or not at all."""
    with whole_file(path) as partial, partial.open("wb") as out:
        np.savez(
            out,
            latent=np.concatenate([np.zeros((0, info.k, info.d), np.float32), *(v.latent for v in videos)]),
            codes=np.concatenate([np.zeros((0, info.k), np.int16), *(v.codes for v in videos)]),
            time_s=np.concatenate([np.zeros(0), *(v.time_s for v in videos)]),
            video=np.repeat(np.arange(len(videos)), [len(v.codes) for v in videos]),
            videos=np.array([v.video for v in videos], dtype=np.str_),
            fingerprint=np.array(info.fingerprint),
            interval_s=np.array(info.interval_s),
        )


def as_table(info: LatentInfo, videos: Sequence[VideoLatents]) -> pa.Table:
    """Arrange latent actions as rows of videos; bytes of a name that are no letters are spelt out."""
    own = [pa.field("video", pa.string()), pa.field("time_s", pa.list_(pa.float64()))]
    schema = pa.schema([*own, *labels.label_fields(info, "primary")])
    columns = [
        [spelt(v.video) for v in videos],
        [v.time_s for v in videos],
        [v.latent.reshape(-1) for v in videos],
        [v.codes.reshape(-1) for v in videos],
    ]
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )
