"""What a corpus holds, and whether every row of it is sound."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import simplejpeg
from pydantic import Field

from dataengine.episode import CAMERA_SLOTS, stable_id
from dataengine.errors import CorpusError
from dataengine.report import Report
from dataengine.schema import EPISODES, VECTORS, VERSION_KEY, frames_column, offsets_column
from dataengine.store.places import Folder
from dataengine.store.tables import SIDE_TABLES, exists, first_line, open_table

if TYPE_CHECKING:
    from dataengine.store.corpus import Corpus

ROWS_AT_ONCE = 256
PROBLEMS_SHOWN = 20


class GroupInfo(Report):
    """Episodes of one body in one dataset."""

    dataset: str
    embodiment: str
    kind: str
    episodes: int
    steps: int
    hours: float


class CorpusInfo(Report):
    """Counts and versions of a corpus."""

    uri: str
    schema_version: int
    versions: dict[str, int]
    """Version of each table."""
    episodes: int
    steps: int
    bytes: int
    """Of all frames."""
    fragments: int
    groups: list[GroupInfo]
    cameras: dict[str, int]
    """Episodes that have a camera in this slot."""
    added_columns: list[str]
    """Labels and quality columns."""
    rejected_parts: int
    rejected_records: int
    runs: int
    staged_parts: int
    """Receipts of an ingest that was stopped, or is running: the next one commits them."""

    def summary(self) -> str:
        """Print the counts, one line for each group."""
        lines = [f"{self.uri}: {self.episodes} episodes, {self.steps} steps, {self.bytes / 1e6:.1f} MB of frames"]
        lines += [
            f"  {g.dataset} ({g.embodiment}, {g.kind}): {g.episodes} episodes, {g.steps} steps" for g in self.groups
        ]
        lines.append("  cameras: " + (", ".join(f"{slot} {count}" for slot, count in self.cameras.items()) or "none"))
        lines.append("  added columns: " + (", ".join(self.added_columns) or "none"))
        lines.append(f"  rejected: {self.rejected_parts} parts, {self.rejected_records} records; runs: {self.runs}")
        lines.append("  versions: " + ", ".join(f"{name} {version}" for name, version in self.versions.items()))
        return "\n".join(lines)


class VerifyReport(Report):
    """What was looked at, and one line for each problem."""

    uri: str
    version: int
    episodes: int = 0
    steps: int = 0
    frames_decoded: int = 0
    problems: list[str] = Field(default_factory=list)
    ok: bool = True

    def summary(self) -> str:
        """Say that all is well, or what is not."""
        seen = f"{self.episodes} episodes, {self.steps} steps, {self.frames_decoded} frames decoded"
        if not self.problems:
            return f"{self.uri}: sound ({seen})"
        shown = [f"  {problem}" for problem in self.problems[:PROBLEMS_SHOWN]]
        more = len(self.problems) - len(shown)
        return "\n".join(
            [f"{self.uri}: {len(self.problems)} problems ({seen})", *shown, *([f"  and {more} more"] * (more > 0))]
        )


def info(corpus: "Corpus") -> CorpusInfo:
    """Count what a corpus holds, without reading a frame."""
    keys = ["dataset", "embodiment", "kind"]
    table = corpus.table([*keys, "num_steps", "control_hz"])
    table = table.append_column("seconds", pc.divide(pc.cast(table["num_steps"], pa.float64()), table["control_hz"]))
    sums = table.group_by(keys).aggregate([("num_steps", "count"), ("num_steps", "sum"), ("seconds", "sum")])
    groups = [
        GroupInfo(
            **{key: row[key] for key in keys},
            episodes=row["num_steps_count"],
            steps=row["num_steps_sum"],
            hours=row["seconds_sum"] / 3600,
        )
        for row in sums.sort_by([(key, "ascending") for key in keys]).to_pylist()
    ]
    sizes = {slot: _blob_sizes(corpus, slot) for slot in CAMERA_SLOTS}
    rejected = corpus.rejects()["record"].to_pylist()
    tables = [name for name in (*SIDE_TABLES, "stats") if exists(corpus.uri, name)]
    return CorpusInfo(
        uri=corpus.uri,
        schema_version=int(corpus.schema.metadata[VERSION_KEY]),
        versions={"episodes": corpus.version, **{name: open_table(corpus.uri, name).version for name in tables}},
        episodes=len(table),
        steps=sum(group.steps for group in groups),
        bytes=sum(sum(known) for known in sizes.values()),
        fragments=len(corpus.fragment_ids()),
        groups=groups,
        cameras={slot: len(known) for slot, known in sizes.items() if known},
        added_columns=[name for name in corpus.schema.names if name not in EPISODES.names],
        rejected_parts=rejected.count(""),
        rejected_records=len(rejected) - rejected.count(""),
        runs=len(corpus.runs()),
        staged_parts=sum(name.endswith(".json") for name in Folder(f"{corpus.uri}/_staging").sizes()),
    )


def _blob_sizes(corpus: "Corpus", slot: str) -> list[int]:
    """Bytes of one camera in each episode that has it, from the blobs' descriptors."""
    descriptors = corpus.scan([frames_column(slot), f"height_{slot}"], where=f"height_{slot} IS NOT NULL")
    return [size for batch in descriptors for size in batch.column(0).field("size").to_pylist()]


def verify(corpus: "Corpus", *, deep: bool) -> VerifyReport:
    """Check every row; decode one frame of each camera, or all of them when `deep`."""
    report = VerifyReport(uri=corpus.uri, version=corpus.version)
    seen: set[str] = set()
    registries = {"dataset": corpus.datasets(), "embodiment": corpus.embodiments()}
    row = 0
    for batch in corpus.scan([field.name for field in EPISODES], batch_size=ROWS_AT_ONCE):
        for i in range(len(batch)):
            values = {name: batch.column(name)[i] for name in batch.schema.names}
            episode_id = values["episode_id"].as_py()
            problems = [*_row_problems(values, registries), *_camera_problems(values)]
            if episode_id in seen:
                problems.append("comes twice")
            seen.add(episode_id)
            if not problems:  # offsets are sound, so that frames can be cut
                for slot in (s for s in CAMERA_SLOTS if values[f"height_{s}"].is_valid):
                    count = values["num_steps"].as_py() if deep else 1
                    size = values[f"height_{slot}"].as_py(), values[f"width_{slot}"].as_py()
                    problems += _frame_problems(corpus, row, slot, range(count), size)
                    report.frames_decoded += count
            report.problems += [f"episode {episode_id}: {problem}" for problem in problems]
            report.episodes += 1
            report.steps += values["num_steps"].as_py()
            row += 1
    report.ok = not report.problems
    return report


def _row_problems(values: dict[str, pa.Scalar], registries: dict[str, dict[str, int]]) -> Iterator[str]:
    """Check identity, lengths and numbers of one row."""
    plain = {name: values[name].as_py() for name in ("episode_id", "dataset", "source_record", "num_steps")}
    if plain["episode_id"] != stable_id(plain["dataset"], plain["source_record"]):
        yield f"its id is not the hash of {plain['dataset']} and {plain['source_record']}"
    for name, known in registries.items():
        word, number = values[name].as_py(), values[f"{name}_id"].as_py()
        if known.get(word) != number:
            yield f"{name} '{word}' has id {number} here, {known.get(word)} in {name}s.lance"
    steps = plain["num_steps"]
    if steps < 1:
        yield f"num_steps is {steps}"
    if _length(values["time_ns"]) != steps:
        yield f"time_ns has {_length(values['time_ns'])} values for {steps} steps"
    for name in VECTORS:
        length, dim = _length(values[name]), values[f"{name}_dim"].as_py()
        if length != steps * dim or (dim == 0) == values[name].is_valid:
            yield f"{name} has {length} values for {steps} steps of {dim}"
        elif dim and not np.isfinite(values[name].values.to_numpy()).all():
            yield f"{name} is not finite"


def _camera_problems(values: dict[str, pa.Scalar]) -> Iterator[str]:
    """Check that a camera is there or not as a whole, and that its offsets cut its blob."""
    steps = values["num_steps"].as_py()
    for slot in CAMERA_SLOTS:
        sizes = [f"{name}_{slot}" for name in ("height", "width", "native_height", "native_width")]
        names = [frames_column(slot), offsets_column(slot), *sizes]
        valid = [values[name].is_valid for name in names]
        if not any(valid):
            continue
        if not all(valid):
            yield f"camera {slot} lacks {', '.join(n for n, there in zip(names, valid, strict=True) if not there)}"
            continue
        offsets = values[offsets_column(slot)].values.to_numpy()
        size = values[frames_column(slot)].as_py()["size"]
        if len(offsets) != steps + 1:
            yield f"camera {slot} has {len(offsets)} offsets for {steps} steps"
        elif offsets[0] != 0 or np.any(np.diff(offsets) <= 0):
            yield f"offsets of camera {slot} do not rise from 0"
        elif offsets[-1] != size:
            yield f"offsets of camera {slot} end at {offsets[-1]}, its blob has {size} bytes"


def _frame_problems(
    corpus: "Corpus", row: int, slot: str, frames: Sequence[int], size: tuple[int, int]
) -> Iterator[str]:
    """Decode frames and compare their size."""
    try:
        jpegs = corpus.read_frames(slot, [row] * len(frames), frames)
    except (OSError, ValueError, CorpusError) as error:
        yield f"camera {slot} cannot be read: {first_line(error)}"
        return
    for frame, jpeg in zip(frames, jpegs, strict=True):
        try:
            found = simplejpeg.decode_jpeg(jpeg, "RGB").shape[:2]
        except ValueError as error:
            yield f"camera {slot}, frame {frame} does not decode: {first_line(error)}"
            continue
        if found != size:
            yield f"camera {slot}, frame {frame} is {found[0]}x{found[1]}, expected {size[0]}x{size[1]}"


def _length(value: Any) -> int:
    return len(value.values) if value.is_valid else 0
