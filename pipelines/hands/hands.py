"""`villa hands`: estimates the hands in clips of which no publisher tells, and writes them as published ones are."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from dataengine.config import MOST_WORKERS, Config
from dataengine.curation.film import main_camera
from dataengine.curation.stages.drop_no_hands import DropNoHands
from dataengine.episode import CAMERA_SLOTS
from dataengine.errors import DataEngineError
from dataengine.hands import Hands
from dataengine.hands import rows as hands_rows
from dataengine.hands.detected import from_detections
from dataengine.machine import num_cores
from dataengine.progress import task
from dataengine.report import Report
from dataengine.runners.processes import pool
from dataengine.schema import HANDS, QUALITY
from dataengine.store import Corpus
from pipelines.hands.detector import Clip, begin, check, look

MEASURED = [f"{QUALITY}{name}" for name in DropNoHands.columns]
"""What curation measured of hands: NULL again where they are new."""


class HandsConfig(Config):
    """Whose hands to estimate, and with which model."""

    corpus: str
    """Directory or object-store URI."""
    model: Path
    """`hand_landmarker.task` of MediaPipe's Hand Landmarker."""
    datasets: list[str] | None = None
    """Only clips of these; None: of all."""
    workers: int = Field(0, ge=0, le=MOST_WORKERS)
    """Processes that look at pictures; 0 takes one for each processor."""


class HandsReport(Report):
    """What was looked at, and how often a hand was seen."""

    corpus: str
    clips: int
    """Looked at by this call."""
    with_hands: int
    """Of these, clips with a hand at some step."""
    steps: int
    steps_with_hands: int
    known: int
    """Clips of people that had hands before, published or estimated: they stay as they were."""
    unreadable: int
    """Clips with a picture that cannot be read: they have no hands, and are tried again by the next call."""
    example: str
    """One of these, and what is wrong with it."""
    detector: str
    seconds: float

    def summary(self) -> str:
        """Say it in a line."""
        share = self.steps_with_hands / self.steps if self.steps else 0.0
        line = (
            f"looked at {self.clips} clips with {self.detector}: a hand in {self.with_hands}, at {share:.0%} of steps"
        )
        lines = [f"{line}; {self.known} clips had hands and stay as they are ({self.seconds:.1f} s)"]
        if self.unreadable:
            lines.append(f"{self.unreadable} clips cannot be read, such as {self.example}")
        return "\n".join(lines)


def run(config: HandsConfig) -> HandsReport:
    """Look at every clip of people without hands; killed and called again, it goes on where it was."""
    start = time.monotonic()
    corpus = Corpus.open(config.corpus)
    corpus.check_writable()
    version = check(config.model)
    corpus.ensure_columns(pa.schema(HANDS))
    todo, known = _todo(corpus, config)
    report = HandsReport(
        corpus=config.corpus,
        **dict.fromkeys(("clips", "with_hands", "steps", "steps_with_hands", "unreadable"), 0),
        known=known,
        example="",
        detector=f"mediapipe {version}",
        seconds=0.0,
    )
    total = sum(map(len, todo.values()))
    before = corpus.version
    with task("hands", total, "clips") as live:
        for fragment_id, seen in _looked_at(todo, min(config.workers or num_cores(), max(total, 1))):
            _write(corpus, fragment_id, seen, report)
            live.advance(len(seen))
    report.seconds = round(time.monotonic() - start, 3)
    if report.clips:
        counts = report.model_dump(
            include={"clips", "with_hands", "steps", "steps_with_hands", "unreadable", "detector"}
        )
        versions = {"version_in": before, "version_out": corpus.version}
        settings = config.model_dump(mode="json")
        corpus.append_run(
            {"command": "hands", "config": settings, "seconds": report.seconds, **versions, "counts": counts}
        )
    return report


def _todo(corpus: Corpus, config: HandsConfig) -> tuple[dict[int, dict[int, Clip]], int]:
    """List clips by fragment and id of their row, and count those that have hands."""
    slots = [slot for slot in CAMERA_SLOTS if f"height_{slot}" in corpus.schema.names]
    names = ["episode_id", "dataset", "kind", "time_ns", "hands_source", *(f"height_{slot}" for slot in slots)]
    todo: dict[int, dict[int, Clip]] = {}
    known = 0
    for fragment_id in corpus.fragment_ids():
        clips = {}
        for row in corpus.fragment_table(fragment_id, names).to_pylist():
            if row["kind"] != "human" or (config.datasets is not None and row["dataset"] not in config.datasets):
                continue
            known += row["hands_source"] is not None
            slot = main_camera([slot for slot in slots if row[f"height_{slot}"]])
            if row["hands_source"] is None and slot:
                times = _rising(np.array(row["time_ns"], np.int64) // 1_000_000)
                clips[row["_rowid"]] = Clip(corpus.uri, slot, row["episode_id"], times, str(config.model))
        if clips:
            todo[fragment_id] = clips
    return todo, known


def _rising(times: Any) -> tuple[int, ...]:
    """Move times that do not rise to a millisecond after the one before."""
    steps = np.arange(len(times))
    return tuple((np.maximum.accumulate(times - steps) + steps).tolist())


Seen = list[tuple[int, Clip, Any]]
"""Row, clip, and what `look` gave."""


def _looked_at(todo: Mapping[int, Mapping[int, Clip]], workers: int) -> Iterator[tuple[int, Seen]]:
    """Yield each fragment with its rows, clips, and what was seen in them."""
    with pool(workers, begin) as processes:
        try:
            futures = {f: [processes.submit(look, clip) for clip in clips.values()] for f, clips in todo.items()}
            for fragment_id, clips in todo.items():
                results = [future.result() for future in futures.pop(fragment_id)]
                yield fragment_id, [(row, clip, one) for (row, clip), one in zip(clips.items(), results, strict=True)]
        except BrokenProcessPool as error:
            raise DataEngineError(
                "a process that looked for hands died (out of memory, or killed); what was finished is kept: run the "
                "command again"
            ) from error
        except BaseException:
            processes.shutdown(wait=False, cancel_futures=True)
            raise


def _write(corpus: Corpus, fragment_id: int, seen: Seen, report: HandsReport) -> None:
    """Write the hands of one fragment, and count them."""
    rows: dict[int, Hands] = {}
    for row, clip, result in seen:
        if isinstance(result, str):
            report.unreadable += 1
            report.example = report.example or f"{clip.episode_id}: {result}"
            continue
        rows[row] = hands = from_detections(result)
        there = np.any([hand.present for hand in hands.sides.values()], axis=0)
        report.clips += 1
        report.steps += len(there)
        report.steps_with_hands += int(there.sum())
        report.with_hands += bool(there.any())
    if not rows:
        return
    table = pa.Table.from_pylist([hands_rows.to_row(hands) for hands in rows.values()], schema=pa.schema(HANDS))
    table = table.append_column("_rowid", pa.array(rows, pa.uint64()))
    for name in set(MEASURED) & set(corpus.schema.names):
        table = table.append_column(name, pa.nulls(len(table), pa.float64()))
    corpus.update_fragment(fragment_id, table)
