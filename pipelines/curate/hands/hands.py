"""`villa hands`: estimates the hands in clips of which no publisher tells, and writes them as published ones are."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
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
from pipelines.curate.hands.detector import Clip, begin, check, look

MEASURED = [f"{QUALITY}{name}" for name in DropNoHands.columns]
"""What curation measured of hands: NULL again where they are new."""
AHEAD = 4
"""Clips for each process that wait beside those of the fragment that is written next."""


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
    total = sum(todo.values())
    before = corpus.version
    with task("hands", total, "clips") as live:
        for fragment_id, seen in _looked_at(corpus, todo, config):
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


def _todo(corpus: Corpus, config: HandsConfig) -> tuple[dict[int, int], int]:
    """Count the clips to look at by fragment, and those that have hands."""
    todo, known = {}, 0
    for fragment_id in corpus.fragment_ids():
        table = corpus.fragment_table(fragment_id, ["kind", "dataset", "hands_source"])
        is_asked = _is_asked(table, config)
        is_known = table["hands_source"].is_valid().to_numpy()
        known += int((is_asked & is_known).sum())
        if count := int((is_asked & ~is_known).sum()):
            todo[fragment_id] = count
    return todo, known


def _is_asked(table: pa.Table, config: HandsConfig) -> NDArray[np.bool_]:
    """(e,) whether an episode is a clip of people of the datasets that were asked for."""
    wanted = table["dataset"].to_pylist() if config.datasets is None else config.datasets
    return pc.and_(
        pc.equal(table["kind"], "human"), pc.is_in(table["dataset"], pa.array(wanted, pa.string()))
    ).to_numpy()


def _clips(corpus: Corpus, fragment_id: int, config: HandsConfig) -> dict[int, Clip]:
    """Give the clips of a fragment that have no hands yet, by the ids of their rows; blind ones are left out."""
    slots = [slot for slot in CAMERA_SLOTS if f"height_{slot}" in corpus.schema.names]
    names = ["episode_id", "dataset", "kind", "time_ns", "hands_source", *(f"height_{slot}" for slot in slots)]
    table = corpus.fragment_table(fragment_id, names)
    clips = {}
    for row in table.filter(pa.array(_is_asked(table, config))).to_pylist():
        slot = main_camera([slot for slot in slots if row[f"height_{slot}"]])
        if row["hands_source"] is None and slot:
            times = _rising(np.array(row["time_ns"], np.int64) // 1_000_000)
            clips[row["_rowid"]] = Clip(corpus.uri, slot, row["episode_id"], times, str(config.model))
    return clips


def _rising(times: Any) -> tuple[int, ...]:
    """Move times that do not rise to a millisecond after the one before."""
    steps = np.arange(len(times))
    return tuple((np.maximum.accumulate(times - steps) + steps).tolist())


Seen = list[tuple[int, Clip, Any]]
"""Row, clip, and what `look` gave."""


def _looked_at(corpus: Corpus, todo: Mapping[int, int], config: HandsConfig) -> Iterator[tuple[int, Seen]]:
    """Yield each fragment with its rows, clips, and what was seen in them; some of the next are looked at meanwhile."""
    workers = min(config.workers or num_cores(), max(sum(todo.values()), 1))
    pending: deque[tuple[int, list[tuple[int, Clip, Future[Any]]]]] = deque()
    with pool(workers, begin) as processes:
        try:
            for fragment_id in todo:
                clips = _clips(corpus, fragment_id, config)
                pending.append(
                    (fragment_id, [(row, clip, processes.submit(look, clip)) for row, clip in clips.items()])
                )
                while sum(len(jobs) for _, jobs in list(pending)[1:]) >= AHEAD * workers:
                    yield _done(pending)
            while pending:
                yield _done(pending)
        except BrokenProcessPool as error:
            raise DataEngineError(
                "a process that looked for hands died (out of memory, or killed); what was finished is kept: run the "
                "command again"
            ) from error
        except BaseException:
            processes.shutdown(wait=False, cancel_futures=True)
            raise


def _done(pending: deque[tuple[int, list[tuple[int, Clip, Future[Any]]]]]) -> tuple[int, Seen]:
    """Wait for the oldest fragment."""
    fragment_id, jobs = pending.popleft()
    return fragment_id, [(row, clip, future.result()) for row, clip, future in jobs]


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
