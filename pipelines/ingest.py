"""Raw recordings into the corpus: plan parts, stage them side by side, commit each exactly once."""

import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from dataengine import catalog
from dataengine.config import Config
from dataengine.episode import Part, Reject, stable_id
from dataengine.errors import DataEngineError, FilteredRecordError, SourceError
from dataengine.options import checked
from dataengine.progress import task
from dataengine.protocols import Source
from dataengine.runners.attempts import Limits
from dataengine.store import Committer, Corpus, Staging
from dataengine.store.receipts import Receipt
from dataengine.store.registry import register
from dataengine.store.side_tables import new_run_id
from dataengine.store.tables import is_disk_full, say_error
from pipelines.ingest_report import IngestReport, few

FILTERED = FilteredRecordError.__name__
"""Error of rejects that are no fault: a rule of the dataset leaves them out."""

COMMIT_PARTS = 64
"""Receipts in one commit: a version of the table costs as much for one part as for many."""

COMMIT_S = 15.0
"""Longest that staged parts wait for others to be committed with."""


class IngestConfig(Config):
    """What to read, and where to put it."""

    source: str
    """Name from `villa sources`, or `module:Class`."""
    root: str
    """Folder or URI of the raw recordings."""
    corpus: str
    """Corpus to create or extend."""
    engine: Literal["local", "ray"] = "local"
    """`local`: processes of this machine; `ray`: tasks on a cluster."""
    workers: int = Field(0, ge=0)
    """Parts read side by side; 0 for as many as there are cores."""
    frame_size: int = Field(256, ge=16)
    """Side in pixels that larger frames are scaled to."""
    frame_hz: float = Field(10.0, gt=0)
    """Frames in a second that are kept of human video."""
    strict: bool = False
    """Fail when anything was rejected."""
    dry_run: bool = False
    """List the parts, write nothing."""
    max_attempts: int = Field(3, ge=1)
    """How often a part is tried whose reader fails, crashes or hangs."""
    retry_rejected: bool = False
    """Try parts again that an earlier run gave up."""
    stall_s: float = Field(900.0, gt=0)
    """Seconds without a new episode after which a reader counts as hung."""
    ray_address: str | None = None
    """Ray cluster to join; without it an embedded one is started."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the source itself; `villa sources NAME` lists them."""

    @property
    def settings(self) -> str:
        """What shapes the rows beside the source."""
        words = [f"frame_size={self.frame_size}", f"frame_hz={self.frame_hz}"]
        return " ".join([*words, *(f"{key}={value}" for key, value in sorted(self.options.items()))])


def run(config: IngestConfig) -> IngestReport:
    """Read every part that the corpus lacks, and commit each exactly once; raise when any is unaccounted for."""
    started = time.monotonic()
    source_class = catalog.source(config.source)
    options = checked(source_class, config.options)
    source = source_class(config.root, frame_size=config.frame_size, frame_hz=config.frame_hz, **options)
    parts = _plan(source, config)
    if config.dry_run:
        return _dry_run(config, parts)
    try:
        return _ingest(config, source, parts, started)
    except OSError as error:
        if is_disk_full(error):
            raise DataEngineError(f"{config.corpus}: {say_error(error)}; the same command continues") from error
        raise


def _ingest(config: IngestConfig, source: Source, parts: Mapping[str, Part], started: float) -> IngestReport:
    """Do it, check it, and keep a note of it."""
    ingest = _Ingest(config, source, Corpus.open_or_create(config.corpus), parts)
    changed = ingest.perform()
    ingest.account()
    report = ingest.report
    report.seconds = time.monotonic() - started
    report.steps_per_second = report.steps / report.seconds
    if changed:
        ingest.note()
    return report


def _plan(source: Source, config: IngestConfig) -> dict[str, Part]:
    """List the source's parts by id; their fingerprints cover the settings, so that a change of either is noticed."""
    root = config.root
    listed = [replace(part, fingerprint=stable_id(part.fingerprint, config.settings)) for part in source.parts()]
    parts = {part.part_id: part for part in listed}
    if not parts:
        raise SourceError(f"{root}: found no parts of {source.name}; is this the right folder?")
    if len(parts) < len(listed):
        raise SourceError(f"{root}: {source.name} lists {len(listed)} parts but only {len(parts)} different names")
    return parts


def _dry_run(config: IngestConfig, parts: Mapping[str, Part]) -> IngestReport:
    """Say what an ingest would read."""
    done: set[str] = set()
    if Corpus.exists(config.corpus):
        committer = Committer(Corpus.open(config.corpus).uri, "")
        done = {*committer.ledger(), *committer.rejected_parts()}
    todo = [part for part_id, part in parts.items() if part_id not in done]
    return IngestReport(
        corpus=config.corpus,
        source=config.source,
        planned_parts=len(parts),
        skipped_parts=len(parts) - len(todo),
        bytes=sum(part.num_bytes for part in todo),
        parts=[part.name for part in todo],
        dry_run=True,
    )


class _Ingest:
    """One run: what is done already, what is staged already, and the rest."""

    def __init__(self, config: IngestConfig, source: Source, corpus: Corpus, parts: Mapping[str, Part]) -> None:
        self.config, self.source, self.corpus, self.parts = config, source, corpus, parts
        self.run_id, self.started_at, self.version_in = new_run_id(), datetime.now(UTC), corpus.version
        self.committer = Committer(corpus.uri, self.run_id)
        self.report = IngestReport(corpus=corpus.uri, source=config.source, planned_parts=len(parts))

    def perform(self) -> bool:
        """Commit what an earlier run staged, then read and commit the rest; tell whether there was anything to do."""
        ledger = self.committer.ledger()
        given_up = self.committer.rejected_parts()
        done = self.parts.keys() & ledger.keys()
        self.report.skipped_parts = len(done)
        self.report.changed_parts = [self.parts[i].name for i in done if ledger[i] != self.parts[i].fingerprint]
        self.committer.receipts.drop(done)
        todo = {i: part for i, part in self.parts.items() if i not in done and not self._stays_rejected(part, given_up)}
        if not todo:
            return False
        self.note()
        self.committer.forget_rejected(todo.keys() & given_up.keys(), records=True)
        staging = self._staging()
        staged = self._staged(todo, staging)
        self.report.resumed_parts = len(staged)
        rest = [part for i, part in todo.items() if i not in staged]
        with task(f"ingest {self.config.source}", len(todo), "parts") as live:
            if staged:
                self._commit(list(staged.values()))
                live.advance(len(staged))
            with closing(self._read(rest, staging)) as ends:
                for batch in _batched(ends):
                    self._commit(batch)
                    live.advance(len(batch), note=f"{self.report.episodes} episodes, {self.report.steps} steps")
        return True

    def account(self) -> None:
        """Check against the tables that every planned part is in exactly one place."""
        ledger, given_up = self.committer.ledger(), self.committer.rejected_parts()
        lost = [part.name for i, part in self.parts.items() if i not in ledger and i not in given_up]
        if lost:
            raise DataEngineError(
                f"{self.report.corpus}: {len(lost)} of {len(self.parts)} parts are neither committed nor rejected: "
                f"{few(lost)}; run the same command again"
            )
        self.committer.forget_rejected(self.parts.keys() & ledger.keys() & given_up.keys())
        report = self.report
        report.rejected_parts = len(self.parts.keys() & (given_up.keys() - ledger.keys()))
        report.committed_parts = len(self.parts) - report.skipped_parts - report.rejected_parts
        rejects = self.corpus.rejects().select(["part_id", "error"]).to_pylist()
        bad = any(reject["part_id"] in self.parts and reject["error"] != FILTERED for reject in rejects)
        report.ok = not (self.config.strict and bad)

    def note(self) -> None:
        """Keep this run's row up to date."""
        counts = self.report.model_dump(
            include={
                "planned_parts",
                "committed_parts",
                "skipped_parts",
                "rejected_parts",
                "rejected_records",
                "filtered_records",
                "episodes",
                "steps",
                "bytes",
                "stored_bytes",
            }
        )
        self.corpus.refresh()
        self.corpus.append_run(
            {
                "run_id": self.run_id,
                "command": "ingest",
                "config": self.config.model_dump(),
                "started_at": self.started_at,
                "seconds": self.report.seconds,
                "version_in": self.version_in,
                "version_out": self.corpus.version,
                "steps_per_second": self.report.steps_per_second,
                "counts": counts,
            }
        )

    def _stays_rejected(self, part: Part, given_up: Mapping[str, str]) -> bool:
        """Read a part again that was given up only when asked to, or when its bytes have changed."""
        return given_up.get(part.part_id) == part.fingerprint and not self.config.retry_rejected

    def _staging(self) -> Staging:
        """Register the dataset and its bodies before any worker starts: ids must not depend on who is first."""
        source = self.source
        bodies = (source.embodiment, *getattr(source, "other_embodiments", ()))
        facts = {"kind": source.kind, "control_hz": source.control_hz}
        about = {"name": source.name, "kind": source.kind, "embodiment": source.embodiment}
        about |= {"licence": source.licence, "layout": source.layout}
        return Staging(
            corpus=self.corpus.uri,
            run_id=self.run_id,
            dataset_ids=register(self.corpus.uri, "datasets", [about]),
            embodiment_ids=register(self.corpus.uri, "embodiments", [{"name": b, **facts} for b in bodies]),
            settings=self.config.settings,
        )

    def _staged(self, todo: Mapping[str, Part], staging: Staging) -> dict[str, Receipt]:
        """Find receipts of an earlier run that still say the truth about their part."""
        receipts = self.committer.receipts
        return {
            receipt.part_id: receipt
            for receipt in receipts.staged(todo)
            if receipt.fingerprint == todo[receipt.part_id].fingerprint
            and receipt.settings == staging.settings_hash
            and receipts.missing_file(receipt) is None
        }

    def _read(self, parts: list[Part], staging: Staging) -> Generator[Receipt | Reject]:
        """Start the engine."""
        config = self.config
        limits = Limits(workers=config.workers, max_attempts=config.max_attempts, stall_s=config.stall_s)
        if config.engine == "ray":
            from dataengine.runners import ray

            return ray.run(self.source, parts, staging, limits, address=config.ray_address)
        from dataengine.runners import local

        return local.run(self.source, parts, staging, limits)

    def _commit(self, ends: list[Receipt | Reject]) -> None:
        """Commit receipts; give up parts that failed as a whole or hold not one episode."""
        receipts = [end for end in ends if isinstance(end, Receipt)]
        rejects = [end for end in ends if isinstance(end, Reject)]
        self.committer.commit(receipts)
        rejects += [_empty(r, self.parts[r.part_id]) for r in receipts if not r.num_episodes]
        self.committer.reject_parts([(reject, self.parts[reject.part_id].fingerprint) for reject in rejects])
        for receipt in receipts:
            self.report.episodes += receipt.num_episodes
            self.report.steps += receipt.num_steps
            filtered = sum(reject.error == FILTERED for reject in receipt.rejects)
            self.report.filtered_records += filtered
            self.report.rejected_records += len(receipt.rejects) - filtered
            self.report.bytes += receipt.source_bytes
            self.report.stored_bytes += receipt.num_bytes


def _empty(receipt: Receipt, part: Part) -> Reject:
    """Give up a part without episodes: no row of the table would ever say that it is done."""
    first = f"; the first: {receipt.rejects[0].reason}" if receipt.rejects else ""
    all_filtered = bool(receipt.rejects) and all(reject.error == FILTERED for reject in receipt.rejects)
    return Reject(
        part_id=receipt.part_id,
        dataset=receipt.dataset,
        source_uri=part.uri,
        record="",
        reason=f"found no good record, {len(receipt.rejects)} bad ones{first}",
        error=FILTERED if all_filtered else "EmptyPart",
        attempts=receipt.attempts,
    )


def _batched(ends: Iterable[Receipt | Reject]) -> Iterator[list[Receipt | Reject]]:
    """Collect what the engine yields until a commit is worth its price."""
    batch: list[Receipt | Reject] = []
    since = time.monotonic()
    for end in ends:
        batch.append(end)
        if len(batch) >= COMMIT_PARTS or time.monotonic() - since >= COMMIT_S:
            yield batch
            batch, since = [], time.monotonic()
    if batch:
        yield batch
