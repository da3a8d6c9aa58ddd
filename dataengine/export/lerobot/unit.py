"""Writes one unit of a LeRobot dataset: rows and videos of a run of episodes, and last what tells that they are there.

Every file appears as a whole: it is written aside, then renamed. The file below `meta/episodes` comes last, so that a
unit that has it is finished; one that lacks it is written again, to the same bytes.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.export.lerobot.plan import Layout, Planned, chunk_and_file
from dataengine.export.lerobot.stats import PictureStats, Stats, of_numbers, sampled_frames
from dataengine.formats.lerobot.entries import EXPORTED_TEXTS
from dataengine.schema import RAW, TEXTS
from dataengine.store import Corpus
from dataengine.texts import narrowest, to_row
from dataengine.whole_file import whole_file

ASIDE = ".villa"
"""Folder of what is not finished; gone when the dataset is."""
COLUMNS = {"state": "observation.state", "action": "action", "raw_state": "source.state", "raw_action": "source.action"}
"""Vector to column. What begins with observation or action becomes a policy's input or output: raw vectors do not."""
EXACT = {"raw_state": "source.state_exact", "raw_action": "source.action_exact"}
"""Whole numbers that float64 rounds in the columns above; which values they are stands in their names."""
TRUE_TIME = "source.time_ns"
LINEAGE = (
    *("episode_id", "dataset", "source_record", "source_uri", "source_fingerprint", "licence", "split", "part_id"),
    *("run_id", "notes"),
)
"""Columns of the corpus that go beside each episode, as `source/<name>`."""
CODECS = {
    "av1": ("libsvtav1", {"preset": "12", "g": "2", "svtav1-params": "lp=1"}),
    "h264": ("libx264", {"preset": "veryfast", "g": "2", "bf": "0"}),
}
"""A key frame in two makes any frame cheap to reach; without B-frames presentation starts at 0 in any container."""


@dataclass(frozen=True)
class UnitJob:
    """What a worker must know to write a unit."""

    root: Path
    number: int
    layout: Layout
    episodes: Sequence[Planned]
    codec: str
    crf: int

    @property
    def steps(self) -> int:
        """Count what `write_unit` tells of: every step once for its row and once for each camera."""
        return sum(planned.num_steps for planned in self.episodes) * (1 + len(self.layout.cameras))


def video_size(height: int, width: int) -> tuple[int, int]:
    """Round the sides of a video up to even numbers, as its colours need."""
    return height + height % 2, width + width % 2


def receipt_of(root: Path, number: int) -> Path:
    """Place of the file that tells that a unit is finished."""
    return root / f"meta/episodes/{chunk_and_file(number)}.parquet"


def files_of(root: Path, number: int, layout: Layout) -> list[Path]:
    """List a unit's other files."""
    videos = [root / f"videos/{key}/{chunk_and_file(number)}.mp4" for key in layout.names.camera_features.values()]
    return [root / f"data/{chunk_and_file(number)}.parquet", *videos]


def is_finished(root: Path, number: int, layout: Layout) -> bool:
    """Tell whether a unit is written."""
    return all(path.is_file() for path in (receipt_of(root, number), *files_of(root, number, layout)))


def whole(root: Path, path: Path) -> AbstractContextManager[Path]:
    """Write a file in a folder that goes when all is done, and put it in its place when the block is done."""
    return whole_file(path, aside=root / ASIDE, durable=True)


def write_unit(corpus: Corpus, task: UnitJob, tell: Callable[[int], None]) -> None:
    """Write a unit; `tell` is told of steps as they are done, once for rows and once for each camera."""
    lines: list[dict[str, Any]] = []
    data, *_ = files_of(task.root, task.number, task.layout)
    with whole(task.root, data) as path, pq.ParquetWriter(path, _schema(task.layout)) as writer:
        for planned in task.episodes:
            columns, stats = _rows(corpus, planned, task.layout)
            writer.write_table(pa.table(columns, schema=_schema(task.layout)))
            lines.append(_entry(corpus, planned, task.number) | _as_columns(stats))
            tell(planned.num_steps)
    for slot in task.layout.cameras:
        for line, more in zip(lines, _write_video(corpus, task, slot, tell), strict=True):
            line |= more
    for line in lines:
        line |= dict(zip(("meta/episodes/chunk_index", "meta/episodes/file_index"), _indices(task.number), strict=True))
    with whole(task.root, receipt_of(task.root, task.number)) as path:
        said = pa.array([line.pop(EXPORTED_TEXTS) for line in lines], TEXTS)  # a type that no text may be there to tell
        pq.write_table(pa.Table.from_pylist(lines).append_column(EXPORTED_TEXTS, said), path)


def _rows(corpus: Corpus, planned: Planned, layout: Layout) -> tuple[dict[str, pa.Array], dict[str, Stats]]:
    """Lay out an episode's rows, and describe them."""
    episode = corpus.episode(planned.episode_id)
    steps = np.arange(planned.num_steps)
    arrays: dict[str, NDArray[Any]] = {}
    for name, dim in layout.dims.items():
        values = getattr(episode, name)
        if values is None or values[planned.steps].shape != (planned.num_steps, dim):
            raise DataEngineError(f"{corpus.uri}: episode {planned.episode_id} has changed since it was planned")
        arrays[COLUMNS[name]] = values[planned.steps]
    for name, dims in layout.exact.items():
        vector, whole = getattr(episode, name), getattr(episode, f"{name}_exact")
        exact = [whole[i] if i in whole else vector[:, i].astype(np.int64) for i in dims]
        arrays[EXACT[name]] = np.stack(exact, axis=1)[planned.steps]
    time_ns = episode.time_ns[planned.steps]
    arrays |= {
        TRUE_TIME: time_ns - time_ns[0] if planned.first_step else time_ns,
        "timestamp": (steps / float(layout.rate)).astype(np.float32),
        "frame_index": steps,
        "episode_index": np.full_like(steps, planned.index),
        "index": planned.first_row + steps,
        "task_index": np.array([planned.tasks[text] for text in narrowest(planned.texts, planned.num_steps)]),
    }
    columns = {field.name: _column(arrays[field.name], field.type) for field in _schema(layout)}
    return columns, {name: of_numbers(values) for name, values in arrays.items()}


def _entry(corpus: Corpus, planned: Planned, unit: int) -> dict[str, Any]:
    """Describe an episode for `meta/episodes`, with where it comes from."""
    chunk, file = _indices(unit)
    lineage = corpus.read_row(corpus.episode(planned.episode_id).row, LINEAGE)
    return {
        "episode_index": planned.index,
        "tasks": list(planned.tasks),
        "length": planned.num_steps,
        "data/chunk_index": chunk,
        "data/file_index": file,
        "dataset_from_index": planned.first_row,
        "dataset_to_index": planned.first_row + planned.num_steps,
        **{f"source/{name}": lineage[name].as_py() for name in LINEAGE},
        **({} if planned.first_step is None else {"source/first_step": planned.first_step}),
        EXPORTED_TEXTS: to_row(planned.texts),
    }


def _write_video(corpus: Corpus, task: UnitJob, slot: str, tell: Callable[[int], None]) -> list[dict[str, Any]]:
    """Write the frames of all episodes one after another; frame i of the file is shown at exactly i / rate."""
    import av  # here: planning needs no FFmpeg

    os.environ.setdefault("SVT_LOG", "1")  # errors only
    layout, lines, number = task.layout, [], 0
    key = layout.names.camera_features[slot]
    encoder, options = CODECS[task.codec]
    path = task.root / f"videos/{key}/{chunk_and_file(task.number)}.mp4"
    with (
        whole(task.root, path) as aside,
        av.open(str(aside), "w", format="mp4", options={"movflags": "faststart"}) as container,
    ):
        stream = container.add_stream(encoder, rate=layout.rate, options=options | {"crf": str(task.crf)})
        stream.height, stream.width = video_size(*layout.cameras[slot])
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = 1 / layout.rate
        stream.codec_context.thread_count = 1
        for planned in task.episodes:
            first, pictures = number, PictureStats()
            described = sampled_frames(planned.num_steps)
            for i, picture in enumerate(_pictures(corpus, planned, slot, layout.cameras[slot])):
                if i in described:
                    pictures.add(picture)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, 1 / layout.rate
                container.mux(stream.encode(frame))
                number += 1
            tell(planned.num_steps)
            span = _span(f"videos/{key}", task.number, Fraction(first), Fraction(number), layout.rate)
            lines.append(span | _as_columns({key: pictures.stats()}))
        container.mux(stream.encode(None))
    return lines


def _span(prefix: str, unit: int, first: Fraction, stop: Fraction, rate: Fraction) -> dict[str, Any]:
    """Tell where an episode lies in a video, by frames counted: sums of durations would drift."""
    chunk, file = _indices(unit)
    return {
        f"{prefix}/chunk_index": chunk,
        f"{prefix}/file_index": file,
        f"{prefix}/from_timestamp": float(first / rate),
        f"{prefix}/to_timestamp": float(stop / rate),
    }


def _pictures(corpus: Corpus, planned: Planned, slot: str, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Decode an episode's frames, with even sides."""
    height, width = video_size(*size)
    episode = corpus.episode(planned.episode_id)
    jpegs = episode.jpegs(slot, range(episode.num_steps)[planned.steps])
    if len(jpegs) != planned.num_steps:
        raise DataEngineError(f"{corpus.uri}: episode {planned.episode_id} has changed since it was planned")
    for i, jpeg in enumerate(jpegs):
        try:
            picture = simplejpeg.decode_jpeg(jpeg, "RGB")
        except ValueError as error:
            raise DataEngineError(
                f"{corpus.uri}: episode {planned.episode_id}, camera {slot}, frame {i} does not decode ({error}); "
                f"leave the episode out with --where \"episode_id != '{planned.episode_id}'\""
            ) from error
        if picture.shape[:2] != (height, width):
            rows, columns = height - picture.shape[0], width - picture.shape[1]
            picture = np.pad(picture, ((0, rows), (0, columns), (0, 0)), mode="edge")
        yield picture


def _schema(layout: Layout) -> pa.Schema:
    """Columns of the data files."""
    vectors = [
        _values(COLUMNS[name], pa.float64() if name in RAW else pa.float32(), dim) for name, dim in layout.dims.items()
    ]
    vectors += [_values(EXACT[name], pa.int64(), len(dims)) for name, dims in layout.exact.items()]
    counters = [pa.field(name, pa.int64()) for name in ("frame_index", "episode_index", "index", "task_index")]
    return pa.schema([*vectors, pa.field(TRUE_TIME, pa.int64()), pa.field("timestamp", pa.float32()), *counters])


def _values(name: str, kind: pa.DataType, dim: int) -> pa.Field:
    return pa.field(name, kind if dim == 1 else pa.list_(kind, dim))


def _column(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), kind.value_type), kind.list_size)
    return pa.array(values.ravel(), kind)


def _as_columns(stats: dict[str, Stats]) -> dict[str, Any]:
    return {f"stats/{key}/{name}": value.tolist() for key, values in stats.items() for name, value in values.items()}


def _indices(unit: int) -> tuple[int, int]:
    """Numbers of a unit's chunk and of its file in it."""
    chunk, file = chunk_and_file(unit).split("/")
    return int(chunk.removeprefix("chunk-")), int(file.removeprefix("file-"))
