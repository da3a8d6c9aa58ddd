"""Whether a corpus is sound: every row, the files below it, and what its tables say of each other.

Rows are looked at in threads, a batch at a time. Unless `deep`, one frame of each camera is decoded: the last, which is
there only if the whole blob is.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np
import pyarrow as pa
import simplejpeg
from numpy.typing import NDArray
from pydantic import Field

from dataengine.episode import CAMERA_SLOTS
from dataengine.machine import num_cores
from dataengine.progress import task
from dataengine.report import Report
from dataengine.schema import EPISODES, checksum_column, frames_column, offsets_column
from dataengine.store.tables import first_line
from dataengine.store.upkeep import verify_tables
from dataengine.store.upkeep.verify_rows import Problem, row_problems

if TYPE_CHECKING:
    import lance

    from dataengine.store.read.corpus import Corpus

ROWS_AT_ONCE = 64
PROBLEMS_KEPT = 1000
PROBLEMS_SHOWN = 20


class VerifyReport(Report):
    """What was looked at, and one line for each problem."""

    uri: str
    version: int
    deep: bool = False
    episodes: int = 0
    steps: int = 0
    frames_decoded: int = 0
    checksums: int = 0
    """Blobs whose bytes are what was written; compared when deep."""
    files: int = 0
    """Files of the episodes that are there and have the size that they should."""
    parts: int = 0
    notes: list[str] = Field(default_factory=list)
    """What is no fault but should be known."""
    problems: list[str] = Field(default_factory=list)
    """The first thousand."""
    num_problems: int = 0
    ok: bool = True

    def summary(self) -> str:
        """Say that all is well, or what is not."""
        seen = f"{self.episodes} episodes, {self.steps} steps, {self.parts} parts, {self.files} files"
        seen += f", {self.frames_decoded} frames decoded" + (f", {self.checksums} checksums" if self.deep else "")
        notes = [f"  note: {note}" for note in self.notes]
        if not self.num_problems:
            return "\n".join([f"{self.uri}: sound ({seen})", *notes])
        shown = [f"  {problem}" for problem in self.problems[:PROBLEMS_SHOWN]]
        more = self.num_problems - len(shown)
        head = f"{self.uri}: {self.num_problems} problems ({seen})"
        return "\n".join([head, *shown, *([f"  and {more} more"] * (more > 0)), *notes])

    def add(self, problem: str) -> None:
        """Count a problem; only the first are kept."""
        self.num_problems += 1
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(problem)


@dataclass
class _Looked:
    """What one batch of rows came to."""

    ids: NDArray[np.uint64]
    steps: int
    frames: int = 0
    checksums: int = 0
    problems: list[str] = field(default_factory=list)


def verify(corpus: "Corpus", *, deep: bool = False, workers: int = 0) -> VerifyReport:
    """Check every row and file; decode one frame of each camera, or all of them and compare checksums when `deep`.

    `workers` threads look at once, 0 for as many as there are cores.
    """
    report = VerifyReport(uri=corpus.uri, version=corpus.version, deep=deep)
    tables = verify_tables.look(corpus)
    report.files, report.parts, report.notes = tables.files, tables.parts, tables.notes
    for problem in tables.problems:
        report.add(problem)
    seen = [np.zeros(0, np.uint64)]
    if not tables.missing:  # else a scan would fail at the first of them
        with task("verify", len(corpus), "episodes") as live:
            for looked in _look_at_all(corpus, tables.registries, deep, workers or num_cores()):
                seen.append(looked.ids)
                report.episodes += len(looked.ids)
                report.steps += looked.steps
                report.frames_decoded += looked.frames
                report.checksums += looked.checksums
                for problem in looked.problems:
                    report.add(problem)
                live.advance(len(looked.ids), note=f"{report.num_problems} problems" if report.num_problems else "")
    ids, counts = np.unique(np.concatenate(seen), return_counts=True)
    for number in ids[counts > 1]:
        report.add(f"episode {int(number):016x}: comes {counts[ids == number][0]} times")
    report.ok = not report.num_problems
    return report


def _look_at_all(
    corpus: "Corpus", registries: dict[str, dict[str, int]], deep: bool, workers: int
) -> Iterator[_Looked]:
    """Look at batches in threads, no more at once than there are threads and one."""
    table, row = corpus.lance_table, 0
    names = [field.name for field in EPISODES if field.name in corpus.schema.names]
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[_Looked]] = deque()
        for batch in table.to_batches(names, batch_size=ROWS_AT_ONCE, batch_readahead=workers, fragment_readahead=1):
            waiting.append(pool.submit(_look, table, batch, row, registries, deep))
            row += len(batch)
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _look(
    table: "lance.LanceDataset", batch: pa.RecordBatch, row: int, registries: dict[str, dict[str, int]], deep: bool
) -> _Looked:
    """Check the rows of a batch that begins at `row` of the table, and frames of those that are sound."""
    problems = list(row_problems(batch, registries))
    looked = _Looked(_numbers(batch["episode_id"].to_pylist()), sum(batch["num_steps"].to_pylist()))
    bad = {problem.row for problem in problems}
    for slot in CAMERA_SLOTS:
        valid = batch[f"height_{slot}"].is_valid().to_pylist()
        there = [i for i in range(len(batch)) if valid[i] and i not in bad]
        for some in [[i] for i in there] if deep else [there]:
            problems += _frame_problems(table, batch, row, slot, some, deep, looked)
    ids = batch["episode_id"]
    looked.problems = [f"episode {ids[p.row].as_py()}: {p.what}" for p in sorted(problems, key=lambda p: p.row)]
    return looked


def _frame_problems(
    table: "lance.LanceDataset",
    batch: pa.RecordBatch,
    first: int,
    slot: str,
    rows: list[int],
    deep: bool,
    looked: _Looked,
) -> Iterator[Problem]:
    """Read frames of some rows in one go: all of a blob when deep, else the last."""
    if not rows:
        return
    offsets = {i: batch[offsets_column(slot)][i].values.to_numpy() for i in rows}
    starts = {i: 0 if deep else int(offsets[i][-2]) for i in rows}
    wanted = [(first + i, starts[i], int(offsets[i][-1]) - starts[i]) for i in rows]
    try:
        blobs = [data for _, _, data in table.read_blob_ranges(frames_column(slot), wanted, selector="indices")]
    except (OSError, ValueError) as error:
        if len(rows) == 1:
            yield Problem(rows[0], f"camera {slot} cannot be read: {first_line(error)}")
            return
        for i in rows:  # which of them it is
            yield from _frame_problems(table, batch, first, slot, [i], deep, looked)
        return
    sums = batch[checksum_column(slot)] if checksum_column(slot) in batch.schema.names else None
    for i, blob in zip(rows, blobs, strict=True):
        size = batch[f"height_{slot}"][i].as_py(), batch[f"width_{slot}"][i].as_py()
        if deep and sums is not None and sums[i].is_valid:
            looked.checksums += 1
            if google_crc32c.value(blob) != sums[i].as_py():
                yield Problem(i, f"camera {slot} has other bytes than were written: its checksum differs")
        for frame in range(0 if deep else len(offsets[i]) - 2, len(offsets[i]) - 1):
            begin, end = offsets[i][frame] - starts[i], offsets[i][frame + 1] - starts[i]
            looked.frames += 1
            what = _decode_problem(memoryview(blob)[begin:end], size)
            if what:
                yield Problem(i, f"camera {slot}, frame {frame} {what}")


def _decode_problem(jpeg: memoryview, size: tuple[int, int]) -> str | None:
    """Decode one frame and compare its size (height, width)."""
    try:
        decoded = simplejpeg.decode_jpeg(jpeg, "RGB").shape[:2]
    except ValueError as error:
        return f"does not decode: {first_line(error)}"
    return None if decoded == size else f"is {decoded[0]}x{decoded[1]}, expected {size[0]}x{size[1]}"


def _numbers(episode_ids: list[str]) -> NDArray[np.uint64]:
    """Turn ids into numbers, to remember millions of them; one that is no hash is told of by its row."""
    numbers = [int(i, 16) for i in episode_ids if len(i) == 16 and set(i) <= set("0123456789abcdef")]
    return np.array(numbers, np.uint64)
