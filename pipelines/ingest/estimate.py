"""How long an ingest will take and how large its corpus will be: a few episodes of each dataset are read to tell."""

import contextlib
import faulthandler
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path

from dataengine.episode import Episode, Part, Reject
from dataengine.errors import DataEngineError
from dataengine.guard import little_memory, share_gb
from dataengine.machine import num_cores
from dataengine.progress import task
from dataengine.protocols import Source
from dataengine.report import Report
from dataengine.runners.processes import pool
from dataengine.runners.worker import watched
from dataengine.storage import is_uri
from dataengine.store import Corpus, Staging
from dataengine.store.commit.staging import ReadError, stage_part
from pipelines.ingest.jobs import Job

SAMPLE_S = 3.0
"""Longest that one dataset is read for; an episode that was begun is finished."""
SAMPLE_RECORDS = 32
STALL_S = 120.0
"""A reader that is silent for so long has no estimate."""
READ_COUNTER = Path("/proc/self/io")


class Estimate(Report):
    """What a sample of a dataset says about the whole; None where it says nothing."""

    seconds: float | None = None
    """Of one worker."""
    stored_bytes: int | None = None
    episodes: int = 0
    """Read for the sample."""


def estimate(jobs: Sequence[Job], todo: Sequence[list[Part]], workers: int) -> tuple[list[Estimate], int]:
    """Sample each dataset in a child process, which may die of it; also tell the workers that a run would have."""
    samples = []
    with task("sample", len(jobs), "datasets") as live, _Child() as child:
        for job, parts in zip(jobs, todo, strict=True):
            samples.append(_sampled(child, job.source, parts))
            live.advance(note=job.source.name)
    return samples, workers or num_cores()


def free_bytes(corpus: str) -> int | None:
    """Free space where the corpus lies or will lie; None in an object store."""
    if is_uri(corpus):
        return None
    path = Path(corpus).expanduser().resolve()
    return shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free


class _Child:
    """A process that samples, and another one where a reader took it down."""

    def __init__(self) -> None:
        self._pool = pool(1)

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def sample(self, source: Source, part: Part) -> tuple[float, float, int, int] | None:
        """Run `_sample`; None when the process died of it."""
        try:
            return self._pool.submit(_sample, source, part).result()
        except BrokenProcessPool:
            self._pool = pool(1)
            return None


def _sampled(child: _Child, source: Source, parts: list[Part]) -> Estimate:
    if not parts:
        return Estimate(seconds=0.0, stored_bytes=0)
    part = max(parts, key=lambda p: p.num_bytes)
    total = sum(p.num_bytes for p in parts)
    if (sampled := child.sample(source, part)) is None:
        return Estimate()
    seconds, read, stored, episodes = sampled
    if not (episodes and read):
        return Estimate(episodes=episodes)
    scale = total / read
    return Estimate(seconds=seconds * scale, stored_bytes=round(stored * scale), episodes=episodes)


def _sample(source: Source, part: Part) -> tuple[float, float, int, int]:
    """Stage some episodes into a corpus that is thrown away: seconds, raw bytes read, bytes stored, episodes."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.open_or_create(f"{folder}/corpus")
        names = (source.embodiment, *getattr(source, "other_embodiments", ()))
        staging = Staging(
            corpus=corpus.uri,
            run_id="sample",
            dataset_ids={source.name: 1},
            embodiment_ids={name: i for i, name in enumerate(names, 1)},
        )
        before, started, seen = _bytes_read(), time.monotonic(), [0]
        try:
            with little_memory(share_gb()):
                receipt = stage_part(part, _for_a_while(watched(source.read(part), STALL_S), started, seen), staging)
        except (DataEngineError, ReadError, OSError):
            return 0.0, 0.0, 0, 0
        finally:
            faulthandler.cancel_dump_traceback_later()
        seconds, read = time.monotonic() - started, _bytes_read() - before
    if (records := int(part.options.get("num_records", 0))) and seen[0]:
        read = part.num_bytes * min(1.0, seen[0] / records)
    return seconds, read, receipt.num_bytes, receipt.num_episodes


def _for_a_while(records: Iterator[Episode | Reject], started: float, seen: list[int]) -> Iterator[Episode | Reject]:
    """Pass records on until there are enough or the time is up; count them in `seen`."""
    with contextlib.closing(records):  # type: ignore[type-var]
        for record in islice(records, SAMPLE_RECORDS):
            seen[0] += 1
            yield record
            if time.monotonic() - started > SAMPLE_S:
                return


def _bytes_read() -> float:
    """Bytes that this process has read from files so far; 0 where the system does not tell."""
    try:
        lines = READ_COUNTER.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("rchar:")), 0.0)
