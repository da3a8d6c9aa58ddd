"""`villa shard`: from a corpus to pre-training shards that trainers read without it."""

import os
import time
from pathlib import Path

from pydantic import Field

from dataengine import progress
from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.report import Report
from dataengine.shard_writer import Plan, plan, write_shards
from dataengine.shards import MANIFEST
from dataengine.store import Corpus
from dataengine.store.reader import TableReader


class ShardConfig(Config):
    """What to write, and where."""

    corpus: str
    """Directory or object-store URI."""
    out: str | None = None
    """Folder of the shards, new or left by an earlier call; only a dry run does without."""
    latent: str | None = None
    """Name of the latent actions to write; by default the only ones there are, or none."""
    shard_mb: float = Field(256, gt=0)
    """About how large a shard becomes."""
    segment_steps: int = Field(1000, ge=1)
    """Longest sample; longer episodes become several."""
    seed: int = 0
    """Of the order in which samples lie."""
    threads: int = Field(0, ge=0)
    """Shards written at once; 0 takes one for each processor."""
    dry_run: bool = False
    """Plan and count, write nothing."""


class ShardReport(Report):
    """What was written."""

    out: str
    latent: str
    """Name of the latent actions in the shards; empty for none."""
    shards: int
    episodes: int
    samples: int
    steps: int
    bytes: int
    """Of all shards; in a dry run an estimate from their frames."""
    written: bool
    seconds: float

    def summary(self) -> str:
        """Say it in a line."""
        did = "wrote" if self.written else "would write"
        size = f"{self.bytes / 1e6:.1f} MB in {self.shards} shards"
        kind = f"latent actions of '{self.latent}'" if self.latent else "no latent actions"
        where = f" to {self.out}" if self.out else ""
        return f"{did} {size}{where}: {self.episodes} episodes, {self.steps} steps, {kind} ({self.seconds:.1f} s)"


def run(config: ShardConfig) -> ShardReport:
    """Write every kept episode; killed and called again, it goes on where it was."""
    start = time.monotonic()
    if config.out is None and not config.dry_run:
        raise DataEngineError("no place for the shards; give --out FOLDER, or --dry-run to plan only")
    if config.out is not None and "://" in config.out:
        raise DataEngineError(f"{config.out}: shards are written to a local folder; give one and copy it there")
    corpus = Corpus.open(config.corpus)
    reader = TableReader(corpus)
    latent = _latent(reader, config.latent)
    planned = plan(
        reader, latent=latent, shard_mb=config.shard_mb, segment_steps=config.segment_steps, seed=config.seed
    )
    report = ShardReport(
        out=config.out or "",
        latent=latent,
        shards=len(planned.shards),
        episodes=len(reader.episodes),
        samples=sum(len(shard) for shard in planned.shards),
        steps=sum(e.num_steps for e in reader.episodes),
        bytes=sum(reader.num_bytes(e.row) for e in reader.episodes),
        written=False,
        seconds=round(time.monotonic() - start, 3),
    )
    if config.dry_run or config.out is None:
        return report
    fresh = not (Path(config.out) / MANIFEST).exists()
    num_bytes = _write(reader, Path(config.out), planned, report.samples, config.threads or os.cpu_count() or 1)
    report.bytes, report.written, report.seconds = num_bytes, True, round(time.monotonic() - start, 3)
    if fresh:
        corpus.append_run({"command": "shard", "config": config.model_dump(), "report": report.model_dump(mode="json")})
    return report


def _write(reader: TableReader, out: Path, planned: Plan, num_samples: int, num_threads: int) -> int:
    with progress.task("shard", num_samples, "samples") as live:

        def tell(samples: int, num_bytes: int) -> None:
            live.advance(samples, note=f"{num_bytes / 1e6:.0f} MB")

        return int(write_shards(reader, out, planned, num_threads=num_threads, progress=tell)["num_bytes"])


def _latent(reader: TableReader, name: str | None) -> str:
    """Take the latent actions that were named, or the only ones there are."""
    if name is not None:
        return reader.latent_info(name).name if name else ""
    if len(reader.latents) > 1:
        raise DataEngineError(
            f"{reader.corpus.uri} has latent actions of {', '.join(reader.latents)}; "
            f"say which with --set latent=NAME, or --set latent='' for none"
        )
    return reader.latents[0] if reader.latents else ""
