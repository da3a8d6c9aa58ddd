"""Writes a corpus as LeRobot v3.0 datasets, which the lerobot package loads as they are.

LeRobot has one rate and one set of columns for all episodes: episodes are grouped by embodiment, rate, cameras and
widths, and each group becomes a dataset in a folder of its own.

state, action          -> observation.state, action            raw_state, raw_action -> source.state, source.action
cameras                -> observation.images.<name>, AV1 or H.264, frame k of an episode at exactly k / rate
                          float64, as they were; whole numbers too large for it also as int64, source.<vector>_exact
time_ns                -> source.time_ns; `timestamp` is k / rate, as LeRobot must have it
texts                  -> tasks of the episode (all), and of every frame the one that holds for the fewest frames
where it comes from    -> meta/episodes, columns source/*; meta/villa.json says what holds for all
idle ends              left out where curation trimmed them; source/first_step says where an episode begins

A dataset is written in units of files; info.json comes last. Killed at any moment, the same call goes on where it was.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dataengine.camera_names import camera_notes
from dataengine.errors import DataEngineError
from dataengine.export.lerobot import crew
from dataengine.export.lerobot.plan import DatasetPlan, Layout
from dataengine.export.lerobot.stats import Stats, together
from dataengine.export.lerobot.unit import (
    ASIDE,
    COLUMNS,
    EXACT,
    TRUE_TIME,
    UnitJob,
    is_finished,
    receipt_of,
    video_size,
    whole,
    write_unit,
)
from dataengine.formats import json_file
from dataengine.formats.lerobot.lerobot import EXPORT, INFO, read_table
from dataengine.schema import CANONICAL, RAW
from dataengine.store import Corpus
from dataengine.vector_layout import note_key

FORMAT = 4
"""Rises when the same episodes would be written in another way."""


@dataclass(frozen=True)
class VideoEncoding:
    """How frames become video."""

    codec: str = "av1"
    crf: int = 30
    """Quality, lower is better."""
    video_mb: float = 200
    data_mb: float = 100


class Export:
    """One dataset below `out`, written or to be written."""

    def __init__(self, out: Path, plan: DatasetPlan, encoder: VideoEncoding, about: Mapping[str, object]) -> None:
        self.plan, self.encoder = plan, encoder
        self.root = out / plan.name
        self.fingerprint = plan.fingerprint(FORMAT, encoder)
        self._about = about
        earlier = self._fingerprint_there()
        if earlier is not None and earlier != self.fingerprint:
            raise DataEngineError(
                f"{self.root}: holds a dataset of other episodes or settings (plan {earlier}, now {self.fingerprint}); "
                "give another folder, or delete it"
            )
        self.is_done = (self.root / INFO).is_file()
        self.finished = [number for number in range(len(plan.units)) if self._is_finished(number)]

    @property
    def num_bytes(self) -> int:
        """Bytes of all files as they are now."""
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def tasks(self) -> list[UnitJob]:
        """List the units that are not there yet."""
        if self.is_done:
            return []
        missing = [number for number in range(len(self.plan.units)) if number not in self.finished]
        encoder = self.encoder
        return [
            UnitJob(self.root, number, self.plan.layout, self.plan.units[number], encoder.codec, encoder.crf)
            for number in missing
        ]

    def begin(self) -> None:
        """Claim the folder."""
        if not self.is_done:
            self._write_json(f"{ASIDE}/plan.json", {"fingerprint": self.fingerprint})

    def finish(self) -> None:
        """Write what describes the dataset once all units are there; info.json last."""
        if not self.is_done:
            lacking = [number for number in range(len(self.plan.units)) if not self._is_finished(number)]
            if lacking:
                raise DataEngineError(f"{self.root}: unit {lacking[0]} is gone; run the same command again")
            with whole(self.root, self.root / "meta/tasks.parquet") as path:
                pq.write_table(_tasks_table(self.plan.tasks), path)
            self._write_json("meta/stats.json", self._stats())
            self._write_json(EXPORT, self._export())
            self._write_json(INFO, self._info())
            self.is_done = True
        shutil.rmtree(self.root / ASIDE, ignore_errors=True)

    def _fingerprint_there(self) -> str | None:
        """Read which plan a folder was written by; None when it is new."""
        if not self.root.exists():
            return None
        for name in (EXPORT, f"{ASIDE}/plan.json"):
            folder = self.root / name
            if folder.is_file():
                return self._fingerprint(folder)
        left = {path.name for path in self.root.iterdir()}
        if left - {ASIDE}:
            raise DataEngineError(f"{self.root}: holds other files ({sorted(left)[0]}); give another folder")
        return None

    def _fingerprint(self, path: Path) -> str:
        try:
            planned = json_file.read(path)
        except json_file.JsonError as error:
            raise DataEngineError(f"{path}: {error}; give another folder, or delete this one") from error
        return str(planned.get("fingerprint")) if isinstance(planned, dict) else ""

    def _is_finished(self, number: int) -> bool:
        return is_finished(self.root, number, self.plan.layout)

    def _write_json(self, name: str, value: object) -> None:
        with whole(self.root, self.root / name) as path:
            path.write_text(json.dumps(value, indent=4), encoding="utf-8")

    def _stats(self) -> dict[str, dict[str, Any]]:
        """Put the statistics of all episodes together, unit by unit."""
        units: dict[str, list[Stats]] = defaultdict(list)
        for number in range(len(self.plan.units)):
            table = read_table(receipt_of(self.root, number), ("stats/",))
            episodes: dict[str, dict[str, NDArray[Any]]] = defaultdict(dict)
            for name in table.column_names:
                _, key, statistic = name.split("/")
                episodes[key][statistic] = np.array(table[name].to_pylist())
            for key, stacked in episodes.items():
                units[key].append(together(stacked))
        by_key = {key: together({name: np.stack([s[name] for s in of]) for name in of[0]}) for key, of in units.items()}
        return {key: {name: value.tolist() for name, value in stats.items()} for key, stats in by_key.items()}

    def _export(self) -> dict[str, object]:
        layout = self.plan.layout
        return {
            "fingerprint": self.fingerprint,
            "embodiment": layout.embodiment,
            "kind": layout.kind,
            **{f"{name}_encoding": vector.encoding for name, vector in layout.vectors.items()},
            **{
                note_key(name, what): said
                for name, vector in layout.vectors.items()
                for what, said in vector.notes.items()
                if vector.dim and (what != "names" or layout.names.values[name])
            },
            **camera_notes(layout.names.camera_features, layout.cameras),
            **self._about,
        }

    def _info(self) -> dict[str, object]:
        plan, layout = self.plan, self.plan.layout
        return {
            "codebase_version": "v3.0",
            "robot_type": layout.names.robot_type or layout.embodiment,
            "total_episodes": plan.num_episodes,
            "total_frames": plan.num_steps,
            "total_tasks": len(plan.tasks),
            "chunks_size": 1000,
            "data_files_size_in_mb": self.encoder.data_mb,
            "video_files_size_in_mb": self.encoder.video_mb,
            "fps": _number(layout),
            "splits": dict(plan.splits),
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
            if layout.cameras
            else None,
            "features": _features(layout, self.encoder.codec),
        }


def write(corpus: Corpus, exports: Sequence[Export], workers: int, tell: Callable[[int], None]) -> None:
    """Write all that is missing of some datasets; `tell` is told of steps as they are done (see `Task.steps`)."""
    for export in exports:
        export.begin()
    tasks = [task for export in exports for task in export.tasks()]
    for steps in crew.run(partial(_writer, corpus.uri, corpus.version), tasks, workers):
        tell(steps)
    for export in exports:
        export.finish()


def _writer(uri: str, version: int) -> Callable[[UnitJob, Callable[[int], None]], None]:
    """Open the corpus in a process that writes."""
    return partial(write_unit, Corpus.open(uri, version))


def _number(layout: Layout) -> int | float:
    """Give the rate as LeRobot likes it: whole where it is."""
    return layout.rate.numerator if layout.rate.denominator == 1 else float(layout.rate)


def _features(layout: Layout, codec: str) -> dict[str, dict[str, Any]]:
    """Declare the columns in the order of the data files, and the cameras."""
    features: dict[str, dict[str, Any]] = {}
    for name, dim in layout.dims.items():
        kind = "float64" if name in RAW else "float32"
        names = layout.names.value_names(name, layout.vectors[name]) if name in CANONICAL else None
        features[COLUMNS[name]] = {"dtype": kind, "shape": [dim], "names": names}
    for name, dims in layout.exact.items():
        features[EXACT[name]] = {"dtype": "int64", "shape": [len(dims)], "names": list(map(str, dims))}
    for slot, (height, width) in layout.cameras.items():
        height, width = video_size(height, width)
        features[layout.names.camera_features[slot]] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height,
                "video.width": width,
                "video.codec": codec,
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": _number(layout),
                "video.channels": 3,
                "has_audio": False,
            },
        }
    features[TRUE_TIME] = {"dtype": "int64", "shape": [1], "names": None}
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    for name in ("frame_index", "episode_index", "index", "task_index"):
        features[name] = {"dtype": "int64", "shape": [1], "names": None}
    return features


def _tasks_table(tasks: Sequence[str]) -> pa.Table:
    """Lay tasks out as pandas would, with the text as index: lerobot finds it by that alone."""
    column = {"metadata": None, "numpy_type": "object", "pandas_type": "unicode"}
    about = {
        "index_columns": ["__index_level_0__"],
        "column_indexes": [{"name": None, "field_name": None, **column, "metadata": {"encoding": "UTF-8"}}],
        "columns": [
            {**column, "name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"},
            {**column, "name": None, "field_name": "__index_level_0__"},
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.3.3",
    }
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "__index_level_0__": list(tasks)})
    return table.replace_schema_metadata({"pandas": json.dumps(about)})
