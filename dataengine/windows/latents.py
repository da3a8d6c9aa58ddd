"""Latent actions of videos that are in no corpus, at rest: one `.npz` file, or a Lance table with a row for each video.

`.npz`: `latent` (n, k, d) codebook vectors and `codes` (n, k) of all videos after one another, `hold_codes` (n, k) that
the model mostly gives a frame that is repeated, `time_s` (n,) of each first frame, `video` (n,) an index into `videos`,
and the origin: `fingerprint`, `interval_s`, `past_frames`. Lance: columns `video`, `time_s`, `hold_codes` and the two
that `labels` describes, flat, with the same origin as metadata.
"""

import tokenize
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.episode import spelt
from dataengine.errors import DataEngineError
from dataengine.whole_file import whole_file
from dataengine.windows import labels
from dataengine.windows.window import LatentInfo

DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, IndexError, MemoryError, OSError, TypeError, ValueError),
    *(tokenize.TokenError, zipfile.BadZipFile),
)
"""What numpy raises over an archive that is damaged, or claims more than there is."""
LONGEST_S = 1e7
"""Seconds, four months: no video is longer."""


@dataclass(frozen=True, kw_only=True)
class VideoCodes:
    """Codes of one video's latent actions; each joins the frame at `time_s` to that an interval later."""

    video: str
    time_s: NDArray[np.float64]
    """(n,) in the stream's own time."""
    codes: NDArray[np.int16]
    """(n, k)."""
    hold_codes: NDArray[np.int16] | None
    """(n, k) what the model would mostly say there if nothing happened; None in files from before there were any."""

    @property
    def holds(self) -> NDArray[np.bool_]:
        """(n, k) which codes are those; none where nobody knows."""
        return np.zeros(self.codes.shape, bool) if self.hold_codes is None else self.codes == self.hold_codes


@dataclass(frozen=True, kw_only=True)
class VideoLatents(VideoCodes):
    """The same with the vectors."""

    latent: NDArray[np.float32]
    """(n, k, d)."""


@dataclass(frozen=True, kw_only=True)
class CodesOfVideos:
    """What a file says of its videos, without the vectors."""

    fingerprint: str
    """Of the model."""
    interval_s: float
    videos: Sequence[VideoCodes]
    past_frames: bool = True
    """Whether latent actions may depend on frames before their first."""


def write_npz(path: Path, info: LatentInfo, videos: Sequence[VideoLatents]) -> None:
    """Write one file that `numpy.load` reads without pickles; it appears whole or not at all."""
    with whole_file(path) as partial, partial.open("wb") as out:
        np.savez(
            out,
            latent=np.concatenate([np.zeros((0, info.k, info.d), np.float32), *(v.latent for v in videos)]),
            codes=np.concatenate([np.zeros((0, info.k), np.int16), *(v.codes for v in videos)]),
            hold_codes=np.concatenate([np.zeros((0, info.k), np.int16), *(_hold_codes(v) for v in videos)]),
            time_s=np.concatenate([np.zeros(0), *(v.time_s for v in videos)]),
            video=np.repeat(np.arange(len(videos)), [len(v.codes) for v in videos]),
            videos=np.array([v.video for v in videos], dtype=np.str_),
            fingerprint=np.array(info.fingerprint),
            interval_s=np.array(info.interval_s),
            past_frames=np.array(info.past_frames),
        )


def _hold_codes(video: VideoCodes) -> NDArray[np.int16]:
    assert video.hold_codes is not None, "what is written has them"
    return video.hold_codes


def read_npz(path: Path) -> CodesOfVideos:
    """Read what `write_npz` wrote; raise DataEngineError for any other file."""
    try:
        with np.load(path) as file:
            codes, time_s, video = file["codes"], file["time_s"], file["video"]
            hold_codes = file.get("hold_codes")
            members = [(str(name), video == i) for i, name in enumerate(file["videos"])]
            labels = CodesOfVideos(
                fingerprint=str(file["fingerprint"]),
                interval_s=float(file["interval_s"]),
                past_frames=bool(file.get("past_frames", True)),
                videos=[
                    VideoCodes(
                        video=name,
                        time_s=time_s[mine],
                        codes=codes[mine],
                        hold_codes=None if hold_codes is None else hold_codes[mine],
                    )
                    for name, mine in members
                ],
            )
    except FileNotFoundError as error:
        raise DataEngineError(f"{path}: {NOT_THERE}") from error
    except KeyError as error:
        raise DataEngineError(f"{path}: {_no_labels('an array lacks: ' + str(error.args[0]))}") from error
    except DAMAGE as error:
        raise DataEngineError(f"{path}: {_no_labels('no archive of plain arrays')}") from error
    return _checked(path, labels)


def as_table(info: LatentInfo, videos: Sequence[VideoLatents]) -> pa.Table:
    """Arrange latent actions as rows of videos; bytes of a name that are no letters are spelt out."""
    own = [pa.field("video", pa.string()), pa.field("time_s", pa.list_(pa.float64()))]
    own.append(pa.field("hold_codes", pa.list_(pa.int16())))
    schema = pa.schema([*own, *labels.label_fields(info, "primary")])
    columns = [
        [spelt(v.video) for v in videos],
        [v.time_s for v in videos],
        [_hold_codes(v).reshape(-1) for v in videos],
        [v.latent.reshape(-1) for v in videos],
        [v.codes.reshape(-1) for v in videos],
    ]
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def from_table(path: Path, table: pa.Table) -> CodesOfVideos:
    """Undo `as_table`, but for the vectors, which may be left out; raise DataEngineError for any other table."""
    names = [name for name in table.column_names if name.startswith(labels.codes_column(""))]
    if len(names) != 1 or not {"video", "time_s"} <= set(table.column_names):
        raise DataEngineError(f"{path}: {_no_labels('it has columns ' + ', '.join(table.column_names))}")
    info = labels.origin(table.schema.field(names[0]))
    videos = [
        VideoCodes(
            video=row["video"],
            time_s=np.array(row["time_s"]),
            codes=np.array(row[names[0]], np.int16).reshape(-1, info.k),
            hold_codes=np.array(row["hold_codes"], np.int16).reshape(-1, info.k) if row.get("hold_codes") else None,
        )
        for row in table.to_pylist()
    ]
    codes_of_videos = CodesOfVideos(
        fingerprint=info.fingerprint, interval_s=info.interval_s, videos=videos, past_frames=info.past_frames
    )
    return _checked(path, codes_of_videos)


NOT_THERE = "is not there; `villa label --video FILE --lam DIR --out NAME.npz` writes labels"


def _no_labels(why: str) -> str:
    return f"holds no labels of `villa label --video` ({' '.join(why.split()):.160})"


def _checked(path: Path, labels: CodesOfVideos) -> CodesOfVideos:
    """Raise DataEngineError where arrays do not fit together."""
    for one in labels.videos:
        is_whole = one.codes.ndim == 2 and one.codes.dtype.kind in "iu" and one.time_s.shape == one.codes.shape[:1]
        if not is_whole or (one.hold_codes is not None and one.hold_codes.shape != one.codes.shape):
            shapes = f"codes {one.codes.dtype} {one.codes.shape}, times {one.time_s.shape}"
            raise DataEngineError(f"{path}: {_no_labels(f'{one.video:.80}: {shapes}')}")
        if not one.codes.shape[1]:
            raise DataEngineError(f"{path}: {_no_labels(f'{one.video:.80}: no latent has a code')}")
        if not _are_times(one.time_s):
            raise DataEngineError(f"{path}: {_no_labels(f'{one.video:.80}: times are no seconds that rise')}")
    if not 0 < labels.interval_s < LONGEST_S:
        raise DataEngineError(f"{path}: {_no_labels(f'interval_s is {labels.interval_s:g}')}")
    return labels


def _are_times(time_s: NDArray[Any]) -> bool:
    """Tell whether these are the times of latents, in order."""
    if time_s.dtype.kind not in "iuf" or not np.all(np.abs(time_s) < LONGEST_S):  # nor NaN
        return False
    return bool(np.all(np.diff(time_s) > 0))
