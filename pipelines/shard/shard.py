"""`villa shard`: from a corpus to pre-training shards that trainers read without it."""

import time
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field

from dataengine import progress
from dataengine.config import MOST, MOST_SIDE, MOST_WORKERS, Config, Seed
from dataengine.errors import DataEngineError
from dataengine.machine import num_cores
from dataengine.report import Report
from dataengine.shards.plan import ShardPlan, plan
from dataengine.shards.writer import check_folder, write_shards
from dataengine.storage import Folder, is_uri, normal_uri
from dataengine.store import Corpus
from dataengine.store.read.reader import TableReader
from pipelines.output.folder import locked, made, refuse_folder, roots_of
from pipelines.output.run_note import note
from pipelines.recipes.mixture import NamedMixture


class ShardConfig(Config):
    """What to write, and where."""

    corpus: str
    """Corpus, or a snapshot of it: `CORPUS@NAME`."""
    out: str | None = None
    """Folder of the shards, new or left by an earlier call, or `s3://bucket/folder`; only a dry run does without."""
    mixture: NamedMixture | None = None
    """As for `villa train`: what it never draws is not written, and trainings on the shards draw by it by
    default. None: the snapshot's own, or everything there is."""
    latents: list[str] | None = None
    """Names of the latent actions to write, `[]` for none; None: all there are."""
    shard_mb: float = Field(512, gt=0, le=4000)
    """About how large a shard becomes, by its frames; 256 to 1000 suits object stores."""
    frame_side: int | None = Field(None, ge=16, le=MOST_SIDE)
    """Scale larger frames to so many pixels a side, once, for models that train at that size: loading then costs a
    fraction, and other sizes are refused. None: frames as they are."""
    segment_steps: int = Field(1000, ge=1, le=MOST)
    """Longest sample; longer episodes become several."""
    seed: Seed = 0
    """Of the order in which samples lie."""
    threads: int = Field(0, ge=0, le=MOST_WORKERS)
    """Shards written at once; 0 takes one for each processor."""
    dry_run: bool = False
    """Plan and count, write nothing."""


class ShardReport(Report):
    """What was written."""

    out: str
    latents: list[str]
    """Names of the latent actions in the shards."""
    shares: dict[str, float]
    """How often a training on the shards draws each dataset, by default."""
    shards: int
    episodes: int
    samples: int
    steps: int
    bytes: int
    """Of all shards; in a dry run an estimate from their frames."""
    written: bool
    fresh: bool = True
    """False where all of it was there already."""
    seconds: float

    def summary(self) -> str:
        """Say it in a line."""
        size = f"{self.bytes / 1e6:.1f} MB in {self.shards} shards"
        if self.written and not self.fresh:
            return (
                f"nothing to do: {size} are in {self.out} already; `villa shard {self.out} --verify` compares checksums"
            )
        did = "wrote" if self.written else "would write"
        kind = f"latent actions of {', '.join(self.latents)}" if self.latents else "no latent actions"
        where = f" to {self.out}" if self.out else ""
        return f"{did} {size}{where}: {self.episodes} episodes, {self.steps} steps, {kind} ({self.seconds:.1f} s)"


def run(config: ShardConfig) -> ShardReport:
    """Write every kept episode; killed and called again, it goes on where it was."""
    start = time.monotonic()
    if config.out is None and not config.dry_run:
        raise DataEngineError("no place for the shards; give --out FOLDER, or --dry-run to plan only")
    corpus = Corpus.open(config.corpus)
    roots = roots_of(corpus)
    if config.dry_run or config.out is None or is_uri(config.out):
        return _run(config, corpus, roots, start)
    out = Path(config.out).expanduser().absolute()
    refuse_folder(out, roots)
    check_folder(Folder(str(out)))
    with made(out), locked(out, "shard"):
        return _run(config, corpus, roots, start)


def _run(config: ShardConfig, corpus: Corpus, roots: Iterable[str], start: float) -> ShardReport:
    """Plan, and write what is not there yet."""
    reader = TableReader(corpus)
    latents = list(reader.latents) if config.latents is None else config.latents
    planned = plan(
        reader,
        latents=latents,
        mixture=config.mixture,
        shard_mb=config.shard_mb,
        segment_steps=config.segment_steps,
        seed=config.seed,
        felt=reader.felt(),
        frame_side=config.frame_side,
    )
    report = ShardReport(
        out=config.out or "",
        latents=latents,
        shares=planned.shares,
        shards=planned.num_shards,
        episodes=len(planned.episodes),
        samples=planned.num_samples,
        steps=planned.num_steps,
        bytes=planned.num_bytes,
        written=False,
        seconds=round(time.monotonic() - start, 3),
    )
    if config.dry_run or config.out is None:
        return report
    folder = Folder(normal_uri(config.out))
    before = folder.sizes()
    num_bytes = _write(reader, config.out, planned, config.threads or num_cores(), roots)
    fresh = folder.sizes() != before
    report.bytes, report.written, report.fresh = num_bytes, True, fresh
    report.seconds = round(time.monotonic() - start, 3)
    if fresh:
        note(corpus, {"command": "shard", "config": config.model_dump(), "report": report.model_dump(mode="json")})
    return report


def _write(reader: TableReader, out: str, planned: ShardPlan, num_threads: int, roots: Iterable[str]) -> int:
    known = [root for root in roots if is_uri(root) or Path(root).is_absolute()]
    with progress.task("shard", planned.num_samples, "samples") as live:

        def tell(samples: int, num_bytes: int) -> None:
            live.advance(samples, note=f"{num_bytes / 1e6:.0f} MB")

        manifest = write_shards(reader, out, planned, roots=known, num_threads=num_threads, progress=tell)
    return int(manifest["num_bytes"])
