"""One run over one or many datasets: what is done already, what is staged already, and the rest, each exactly once."""

import time
from collections.abc import Container, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dataengine import catalog
from dataengine.episode import Episode, Part, Reject, stable_id
from dataengine.errors import DataEngineError, FilteredRecordError, LimitError, SourceError, is_disk_full
from dataengine.notes import Tally
from dataengine.options import checked, options_of
from dataengine.progress import task
from dataengine.protocols import Source
from dataengine.runners.attempts import WORKER_DIED, Limits
from dataengine.store import Committer, Corpus, Staging
from dataengine.store.places import normal_uri
from dataengine.store.receipts import Receipt
from dataengine.store.registry import register
from dataengine.store.side_tables import new_run_id
from dataengine.store.tables import say_error
from pipelines.corpus_place import refuse_corpus
from pipelines.ingest_report import COUNTS, IngestReport, few, reasons
from pipelines.output_folder import roots_of
from pipelines.run_note import note

if TYPE_CHECKING:
    from pipelines.ingest import DatasetConfig, EngineConfig

FILTERED = FilteredRecordError.__name__
"""Error of rejects that are no fault: a rule of the dataset leaves them out."""

LIMITED = (LimitError.__name__, WORKER_DIED)
"""Errors of parts that other limits of memory and time might let in."""

COMMIT_PARTS = 64
"""Receipts in one commit: a version of the table costs as much for one part as for many."""

COMMIT_S = 15.0
"""Longest that staged parts wait for others to be committed with."""

JOB = "job"
"""Option of a part that tells which of a run's datasets it belongs to; no part of its identity."""


@dataclass(frozen=True)
class Job:
    """One dataset of a run."""

    source: Source
    parts: Mapping[str, Part]
    """By id."""
    report: IngestReport


@dataclass(frozen=True)
class Together:
    """Reads the parts of several sources: an engine then balances all of them over its workers."""

    sources: tuple[Source, ...]

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        """Let the part's own source read it."""
        return self.sources[int(part.options[JOB])].read(part)


def plan(config: "DatasetConfig", job: int = 0) -> Job:
    """List a dataset's parts; their fingerprints cover the settings, so that a change of either is noticed."""
    source_class = catalog.source(config.source)
    options = checked(source_class, config.options)
    root = config.root
    source = source_class(root, frame_size=config.frame_size, frame_hz=config.frame_hz, **options)
    settings = _settings(config, source_class, options)
    listed = [
        replace(
            part,
            fingerprint=stable_id(part.fingerprint, settings),
            options={**part.options, JOB: str(job)},
        )
        for part in source.parts()
    ]
    parts = {part.part_id: part for part in listed}
    if not parts:
        raise SourceError(f"{root}: found no parts of {source.name}; is this the right folder?")
    if len(parts) < len(listed):
        raise SourceError(f"{root}: {source.name} lists {len(listed)} parts but only {len(parts)} different names")
    report = IngestReport(source=source.name, root=root, planned_parts=len(parts))
    return Job(source, parts, report)


def _settings(config: "DatasetConfig", source: type[Source], options: Mapping[str, object]) -> str:
    """Write down what shapes the rows beside the source.

    An option that says what holds anyway changes nothing; of files that options name the source itself takes care.
    """
    words: dict[str, object] = {"frame_size": config.frame_size, "frame_hz": config.frame_hz}
    plain = {option.name: option.default for option in options_of(source)}
    told = {key: value for key, value in options.items() if value != plain[key]}
    told = {key: value for key, value in told.items() if key not in getattr(source, "file_options", ())}
    return " ".join(f"{key}={value}" for key, value in [*words.items(), *sorted(told.items())])


def left_to_do(corpus: str, jobs: Sequence[Job]) -> list[list[Part]]:
    """For each dataset the parts that a run would read, without changing anything."""
    done: set[str] = set()
    if Corpus.exists(corpus):
        committer = Committer(Corpus.open(corpus).uri, "")
        done = {*committer.ledger(), *committer.rejected_parts()}
    return [[part for part_id, part in job.parts.items() if part_id not in done] for job in jobs]


def ingest(config: "EngineConfig", jobs: Sequence[Job], about: Mapping[str, object]) -> None:
    """Read every part that the corpus lacks, commit each exactly once, and fill the jobs' reports.

    `about` is what the run's row keeps as its configuration, with the `roots` as they are found from anywhere. Raise
    when a part is unaccounted for.
    """
    roots = {normal_uri(job.report.root) for job in jobs}
    about = {**about, "roots": sorted(roots)}
    refuse_corpus(config.corpus, [job.report.root for job in jobs])
    try:
        run = _Run(config, jobs, about)
        changed = run.perform()
        run.account()
        if changed:
            run.note()
        elif not roots <= roots_of(run.corpus):
            note(run.corpus, run.row())  # an older villa kept roots relative to nobody knows what
    except OSError as error:
        if is_disk_full(error):
            raise DataEngineError(f"{config.corpus}: {say_error(error)}; the same command continues") from error
        raise


class _Run:
    """The state of one run."""

    def __init__(self, config: "EngineConfig", jobs: Sequence[Job], about: Mapping[str, object]) -> None:
        self.config, self.jobs, self.about = config, jobs, about
        self.parts = {part_id: part for job in jobs for part_id, part in job.parts.items()}
        if len(self.parts) < sum(len(job.parts) for job in jobs):
            raise DataEngineError("two datasets of the plan list the same parts; name each folder once")
        self.corpus = Corpus.open_or_create(config.corpus)
        for job in jobs:
            job.report.corpus = self.corpus.uri
        self.run_id, self.started_at, self.started = new_run_id(), datetime.now(UTC), time.monotonic()
        self.notes = [Tally() for _ in jobs]
        """Serious notes of what this run committed, by dataset."""
        self.version_in = self.corpus.version
        self.committer = Committer(self.corpus.uri, self.run_id)
        self.limits = Limits(
            workers=config.workers,
            max_attempts=config.max_attempts,
            stall_s=config.stall_s,
            memory_gb=config.memory_gb,
        )

    def perform(self) -> bool:
        """Commit what an earlier run staged, then read and commit the rest; tell whether there was anything to do."""
        ledger = self.committer.ledger()
        given_up = self.committer.rejected_parts()
        done = self.parts.keys() & ledger.keys()
        for job in self.jobs:
            mine = job.parts.keys() & done
            job.report.skipped_parts = len(mine)
            job.report.changed_parts = [job.parts[i].name for i in mine if ledger[i] != job.parts[i].fingerprint]
        self.committer.receipts.drop(done)
        todo = {i: part for i, part in self.parts.items() if i not in done and not self._stays_rejected(part, given_up)}
        if not todo:
            return False
        self.note()
        self.committer.forget_rejected(todo.keys() & given_up.keys(), records=True)
        staging = self._staging()
        staged = self._staged(todo, staging)
        for receipt in staged.values():
            self._report(receipt).resumed_parts += 1
        rest = [part for i, part in todo.items() if i not in staged]
        title = f"ingest {self.jobs[0].source.name}" if len(self.jobs) == 1 else f"ingest {len(self.jobs)} datasets"
        with task(title, len(todo), "parts") as live:
            if staged:
                self._commit(list(staged.values()))
                live.advance(len(staged))
            with closing(self._read(rest, staging)) as ends:
                for batch in _batched(ends):
                    self._commit(batch)
                    live.advance(len(batch), note=f"{self._total('episodes')} episodes, {self._total('steps')} steps")
        return True

    def account(self) -> None:
        """Check against the tables that every planned part is in exactly one place."""
        ledger, given_up = self.committer.ledger(), self.committer.rejected_parts()
        lost = [part.name for i, part in self.parts.items() if i not in ledger and i not in given_up]
        if lost:
            raise DataEngineError(
                f"{self.corpus.uri}: {len(lost)} of {len(self.parts)} parts are neither committed nor rejected: "
                f"{few(lost)}; run the same command again"
            )
        self.committer.forget_rejected(self.parts.keys() & ledger.keys() & given_up.keys())
        rejects = _of_parts(self.corpus, self.parts)
        seconds = time.monotonic() - self.started
        for job, notes in zip(self.jobs, self.notes, strict=True):
            report = job.report
            report.rejected_parts = len(job.parts.keys() & (given_up.keys() - ledger.keys()))
            report.committed_parts = len(job.parts) - report.skipped_parts - report.rejected_parts
            mine = [reject for part_id in job.parts.keys() & rejects.keys() for reject in rejects[part_id]]
            bad = [reject for reject in mine if reject["error"] != FILTERED]
            report.reasons = reasons(reject["reason"] for reject in (mine if report.is_empty and not bad else bad))
            report.ok = not (report.is_empty or (self.config.strict and bad))
            report.notes = notes.told()
            report.seconds = seconds
            report.steps_per_second = report.steps / seconds

    def note(self) -> None:
        """Keep this run's row up to date."""
        self.corpus.append_run(self.row())

    def row(self) -> dict[str, object]:
        """Say what this run did, for the table of runs."""
        seconds = time.monotonic() - self.started
        self.corpus.refresh()
        return {
            "run_id": self.run_id,
            "command": "ingest",
            "config": self.about,
            "started_at": self.started_at,
            "seconds": seconds,
            "version_in": self.version_in,
            "version_out": self.corpus.version,
            "steps_per_second": self._total("steps") / max(seconds, 1e-9),
            "counts": {name: self._total(name) for name in COUNTS},
        }

    def _total(self, count: str) -> int:
        return sum(getattr(job.report, count) for job in self.jobs)

    def _report(self, receipt: Receipt) -> IngestReport:
        return self.jobs[int(self.parts[receipt.part_id].options[JOB])].report

    def _stays_rejected(self, part: Part, given_up: Mapping[str, str]) -> bool:
        """Read a part again that was given up only when asked to, or when its bytes or what stopped it have changed."""
        same = given_up.get(part.part_id) in (part.fingerprint, self._limited(part))
        return same and not self.config.retry_rejected

    def _given_up_as(self, reject: Reject) -> str:
        """Fingerprint under which a part stays given up: with the limits, if it was they that stopped it."""
        part = self.parts[reject.part_id]
        return self._limited(part) if reject.error in LIMITED else part.fingerprint

    def _limited(self, part: Part) -> str:
        """Fingerprint of a part that was given up for the limits of its reader."""
        return stable_id(part.fingerprint, self.limits.words)

    def _staging(self) -> Staging:
        """Register the datasets and bodies before any worker starts: ids must not depend on who is first."""
        datasets: dict[str, dict[str, object]] = {}
        bodies: dict[str, dict[str, object]] = {}
        for source in (job.source for job in self.jobs):
            about = {"name": source.name, "kind": source.kind, "embodiment": source.embodiment}
            datasets.setdefault(source.name, {**about, "licence": source.licence, "layout": source.layout})
            for body in (source.embodiment, *getattr(source, "other_embodiments", ())):
                bodies.setdefault(body, {"name": body, "kind": source.kind, "control_hz": source.control_hz})
        return Staging(
            corpus=self.corpus.uri,
            run_id=self.run_id,
            dataset_ids=register(self.corpus.uri, "datasets", list(datasets.values())),
            embodiment_ids=register(self.corpus.uri, "embodiments", list(bodies.values())),
        )

    def _staged(self, todo: Mapping[str, Part], staging: Staging) -> dict[str, Receipt]:
        """Find receipts of an earlier run that still say the truth about their part."""
        receipts = self.committer.receipts
        return {
            receipt.part_id: receipt
            for receipt in receipts.staged(todo)
            if receipt.fingerprint == todo[receipt.part_id].fingerprint
            and receipt.schema_version == staging.schema_version
            and receipts.missing_file(receipt) is None
        }

    def _read(self, parts: list[Part], staging: Staging) -> Generator[Receipt | Reject]:
        """Start the engine."""
        config = self.config
        sources = Together(tuple(job.source for job in self.jobs))
        if config.engine == "ray":
            from dataengine.runners import ray

            return ray.run(sources, parts, staging, self.limits, address=config.ray_address)
        from dataengine.runners import local

        return local.run(sources, parts, staging, self.limits)

    def _commit(self, ends: list[Receipt | Reject]) -> None:
        """Commit receipts; give up parts that failed as a whole or hold not one episode."""
        receipts = [end for end in ends if isinstance(end, Receipt)]
        rejects = [end for end in ends if isinstance(end, Reject)]
        self.committer.commit(receipts)
        rejects += [_empty(r, self.parts[r.part_id]) for r in receipts if not r.num_episodes]
        self.committer.reject_parts([(reject, self._given_up_as(reject)) for reject in rejects])
        for receipt in receipts:
            report = self._report(receipt)
            filtered = sum(reject.error == FILTERED for reject in receipt.rejects)
            report.episodes += receipt.num_episodes
            report.steps += receipt.num_steps
            report.filtered_records += filtered
            report.rejected_records += len(receipt.rejects) - filtered
            report.bytes += receipt.source_bytes
            report.stored_bytes += receipt.num_bytes
            self.notes[int(self.parts[receipt.part_id].options[JOB])].merge(receipt.notes, receipt.num_episodes)


def _of_parts(corpus: Corpus, parts: Container[str]) -> dict[str, list[dict[str, str]]]:
    """List what was rejected of some parts; of a part that is given up for its bad records just these."""
    found: dict[str, list[dict[str, str]]] = {}
    for reject in corpus.rejects().select(["part_id", "record", "reason", "error"]).to_pylist():
        if reject["part_id"] in parts:
            found.setdefault(reject["part_id"], []).append(reject)
    return {part_id: [r for r in mine if r["record"]] or mine for part_id, mine in found.items()}


def _empty(receipt: Receipt, part: Part) -> Reject:
    """Give up a part without episodes: no row of the table would ever say that it is done."""
    first = f"; the first: {receipt.rejects[0].reason}" if receipt.rejects else ""
    errors = {reject.error for reject in receipt.rejects}
    error = FILTERED if errors == {FILTERED} else LIMITED[0] if LIMITED[0] in errors else "EmptyPart"
    return Reject(
        part_id=receipt.part_id,
        dataset=receipt.dataset,
        source_uri=part.uri,
        record="",
        reason=f"found no good record, {len(receipt.rejects)} bad ones{first}",
        error=error,
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
