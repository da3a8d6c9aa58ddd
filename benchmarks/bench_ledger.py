"""Exactly once at scale: what an episode costs as the table grows, what commits cost, and how long a resume takes.

An ingest of 100,000 small episodes (two steps of one 32 by 48 picture; ten to a part, 64 parts to a commit) is staged
and committed as `villa ingest` does it. Its last thousands are compared with its first: that is the ratio. Then a
finished ingest of 100,000 parts, each a fragment, is run again, with and without what the ledger remembers of files.
CPU time is counted, of all threads; `bench_ledger.py 10000` does a tenth of everything.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import lance
import numpy as np
import pyarrow as pa
import simplejpeg
from lance.fragment import write_fragments

from dataengine.digest import stable_id
from dataengine.episode import CameraFrames, Episode, Part
from dataengine.progress import ProgressBar
from dataengine.store import Committer, Corpus, Staging, stage_part
from dataengine.store.registry import register
from dataengine.store.tables import EPISODES, FILE_VERSION
from dataengine.store.upkeep import compaction
from dataengine.texts import whole_episode
from pipelines.ingest.config import IngestConfig
from pipelines.ingest.engine import COMMIT_PARTS
from pipelines.ingest.jobs import plan

PER_PART = 10
AT_FIRST = 1_000
"""Episodes that the growth of the cost is counted from."""

REAL_FRAMES, REAL_BYTES = 120, 24_000
"""Of an episode in a part of 115 MB: two cameras of 60 steps at 256 pixels."""

RESUME = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pipelines.ingest import IngestConfig, run
start, cpu = time.monotonic(), time.process_time()
report = run(IngestConfig(source="bench_ledger:Planned", root=sys.argv[2], corpus=sys.argv[3]))
print(report.skipped_parts, time.monotonic() - start, time.process_time() - cpu)
"""

SCAN = """
import sys, time
import lance
start, cpu = time.monotonic(), time.process_time()
rows = lance.dataset(f"{sys.argv[3]}/episodes.lance").to_table(["part_id"])
print(len(rows["part_id"].unique()), time.monotonic() - start, time.process_time() - cpu)
"""


class Planned:
    """A source of as many parts as its root says; nothing of it is ever read."""

    name, kind, embodiment, control_hz = "planned", "robot", "arm", 10.0
    layout: ClassVar[str] = "none"
    licence: ClassVar[str] = "none"

    def __init__(self, root: str, **_: object) -> None:
        self.count = int(root)

    def parts(self) -> list[Part]:
        return [
            Part(dataset=self.name, name=f"part{i:06d}", uri="nowhere", num_bytes=1, fingerprint=str(i))
            for i in range(self.count)
        ]


def make_episode(record: str, jpegs: list[bytes], height: int, width: int, cameras: int = 1) -> Episode:
    steps = len(jpegs)
    numbers = np.zeros((steps, 7), np.float32)
    frames = CameraFrames(jpegs=jpegs, height=height, width=width, native_height=height, native_width=width)
    return Episode(
        dataset="planned",
        source_record=record,
        source_uri="nowhere",
        embodiment="arm",
        kind="robot",
        control_hz=10.0,
        texts=whole_episode(["do it"], steps),
        time_ns=np.arange(steps) * 100_000_000,
        cameras=dict(zip(("primary", "wrist"), [frames] * cameras, strict=False)),
        state=numbers,
        action=numbers,
    )


def picture(height: int, width: int, num_bytes: int = 0) -> bytes:
    """A JPEG; bytes beyond its end make it as large as one of a real scene."""
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    jpeg = simplejpeg.encode_jpeg(noise, 30, "RGB", "420")
    return jpeg + np.random.default_rng(1).bytes(max(num_bytes - len(jpeg), 0))


def open_corpus(path: Path) -> Staging:
    corpus = Corpus.create(path)
    return Staging(
        corpus=corpus.uri,
        run_id="bench",
        dataset_ids=register(corpus.uri, "datasets", [{"name": "planned"}]),
        embodiment_ids=register(corpus.uri, "embodiments", [{"name": "arm"}]),
    )


def grow(path: Path, num_episodes: int) -> tuple[float, float, float]:
    """Ingest; give the CPU seconds per episode at first and at last, and those of the last commits."""
    staging, jpeg = open_corpus(path), picture(32, 48)
    committer = Committer(staging.corpus, "bench")
    like = make_episode("", [jpeg] * 2, 32, 48)
    spent: list[tuple[float, float]] = []  # of each commit of 64 parts: all of it, the commit alone
    for first in range(0, num_episodes // PER_PART, COMMIT_PARTS):
        start, receipts = time.process_time(), []
        for number in range(first, min(first + COMMIT_PARTS, num_episodes // PER_PART)):
            part = Part(dataset="planned", name=f"p{number}", uri="nowhere", num_bytes=1, fingerprint="f")
            episodes = [replace(like, source_record=f"{number}/{i}") for i in range(PER_PART)]
            receipts.append(stage_part(part, episodes, staging))
        staged = time.process_time()
        assert len(committer.commit(receipts)) == len(receipts)
        now = time.process_time()
        spent.append(((now - start) / len(receipts) / PER_PART, now - staged))
    assert len(Corpus.open(path)) == num_episodes
    window = max(2, 2 * AT_FIRST // PER_PART // COMMIT_PARTS)
    middle = slice(1, 1 + window)  # the first pays for what is loaded once
    first_cost, last_cost = (
        float(np.median([all_ for all_, _ in spent[s]])) for s in (middle, slice(-2 * window, None))
    )
    return first_cost, last_cost, float(np.median([commit for _, commit in spent[-2 * window :]]))


def real_part(path: Path) -> float:
    """CPU seconds to stage a part of 115 MB whose frames are in memory: the least that any source takes."""
    staging, jpeg = open_corpus(path), picture(256, 256, REAL_BYTES)
    episodes = [make_episode(str(i), [jpeg] * (REAL_FRAMES // 2), 256, 256, cameras=2) for i in range(40)]
    seconds = []
    for number in range(5):
        start = time.process_time()
        stage_part(Part(dataset="planned", name=f"p{number}", uri="x", num_bytes=1, fingerprint="f"), episodes, staging)
        seconds.append(time.process_time() - start)
    return float(np.median(seconds))


def finished(path: Path, num_parts: int) -> None:
    """Make the corpus of a finished ingest of one-episode parts, each a fragment; only columns that matter."""
    staging = open_corpus(path)
    table = f"{staging.corpus}/episodes.lance"
    names = ("episode_id", "dataset", "part_id", "source_fingerprint", "run_id")
    columns = pa.schema([EPISODES.field(name) for name in names])
    parts = plan(IngestConfig(source="bench_ledger:Planned", root=str(num_parts), corpus=staging.corpus)).parts

    def rows(some: list[Part]) -> Iterator[pa.RecordBatch]:
        for part in some:
            row = (stable_id("planned", part.name), "planned", part.part_id, part.fingerprint, "bench")
            yield pa.record_batch([pa.array([value]) for value in row], schema=columns)

    listed = list(parts.values())
    for first in range(0, num_parts, 10_000):
        stream = pa.RecordBatchReader.from_batches(columns, rows(listed[first : first + 10_000]))
        options = {"mode": "append", "data_storage_version": FILE_VERSION, "max_rows_per_file": 1}
        fragments = write_fragments(stream, table, columns, **options)
        version = lance.dataset(table).version
        lance.LanceDataset.commit(table, lance.LanceOperation.Append(fragments), read_version=version)


def timed(code: str, num_parts: int, path: Path) -> tuple[float, float]:
    """Wall and CPU seconds of a fresh process that finds all parts."""
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(num_parts), str(path)]
    counted, wall_s, cpu_s = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    assert int(counted) == num_parts
    return float(wall_s), float(cpu_s)


def main() -> None:
    scale = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        first, last, commit_s = grow(Path(folder, "grown"), scale)
        print(f"CPU per small episode: {first * 1e3:.2f} ms at {AT_FIRST}, {last * 1e3:.2f} ms at {scale}")
        part_s = real_part(Path(folder, "real"))
        share = commit_s / (COMMIT_PARTS * part_s + commit_s)
        print(
            f"a commit of {COMMIT_PARTS} parts to {scale // PER_PART} fragments: {commit_s * 1e3:.0f} ms CPU; "
            f"staging one of 115 MB: {part_s * 1e3:.0f} ms; share of commits {share:.2%}"
        )
        shutil.rmtree(Path(folder, "grown"))
        done = Path(folder, "finished")
        finished(done, scale)
        for what, code in (("plain scan", SCAN), ("resume, nothing remembered", RESUME), ("resume", RESUME)):
            wall_s, cpu_s = timed(code, scale, done)
            print(f"{scale} parts, each a fragment: {what} {wall_s:.1f} s, {cpu_s:.1f} s CPU")
        start, cpu = time.monotonic(), time.process_time()
        num_bytes = sum(
            piece.num_bytes for piece in compaction.pieces(lance.dataset(f"{done}/episodes.lance"), str(done))
        )
        live = ProgressBar("compact", num_bytes, "bytes")
        groups = compaction.compact(str(done), compaction.TARGET_BYTES, live).groups
        wall_s, cpu_s = time.monotonic() - start, time.process_time() - cpu
        print(f"compacted in {groups} groups: {wall_s:.1f} s, {cpu_s:.1f} s CPU")
        wall_s, cpu_s = timed(RESUME, scale, done)
        print(f"{scale} parts, compacted: resume {wall_s:.1f} s, {cpu_s:.1f} s CPU")
    ratio = round(first / last, 2)
    peer = f"the same ingest at {AT_FIRST} episodes"
    print(json.dumps({"name": "ledger_growth", "ratio": ratio, "goal": 0.9, "peer": peer, "unit": "CPU per episode"}))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
