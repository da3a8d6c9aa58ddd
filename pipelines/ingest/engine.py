"""One run over one or many datasets: what is done already, what is staged already, and the rest, each exactly once."""

import sys
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dataengine.episode import Part, Reject
from dataengine.errors import DataEngineError, is_disk_full
from dataengine.framing import Fit
from dataengine.notes import NoteTally
from dataengine.progress import task
from dataengine.runners.attempts import Assigned, Limits
from dataengine.storage import normal_uri
from dataengine.store import Committer, Corpus, Staging
from dataengine.store.commit.committer import HELD
from dataengine.store.commit.receipts import Receipt
from dataengine.store.earlier import Earlier
from dataengine.store.read import framing
from dataengine.store.registry import register
from dataengine.store.side_tables import new_run_id
from dataengine.store.tables import say_error
from pipelines.ingest import todo as ingest_todo
from pipelines.ingest.alone import alone_at
from pipelines.ingest.changed import changes, other_names
from pipelines.ingest.jobs import Job, fit_of, owners
from pipelines.ingest.new_corpus import refuse_corpus
from pipelines.ingest.report import COUNTS, IngestReport, few, reasons
from pipelines.ingest.todo import FILTERED, LIMITED, Todo
from pipelines.output.folder import roots_of
from pipelines.output.run_note import note

if TYPE_CHECKING:
    from pipelines.ingest.config import EngineConfig

COMMIT_PARTS = 64
"""Receipts in one commit: a version of the table costs as much for one part as for many."""

COMMIT_S = 15.0
"""Longest that staged parts wait for others to be committed with."""


def refuse(config: "EngineConfig", jobs: Sequence[Job]) -> None:
    """Raise DataEngineError for a corpus or jobs that no run may have, without changing anything."""
    refuse_corpus(config.corpus, [job.report.root for job in jobs])
    roots: dict[str, str] = {}
    for job in jobs:
        for part_id, part in job.parts.items():
            if part_id in roots:
                raise DataEngineError(
                    f"the plan has {part.name} of {part.dataset} in {roots[part_id]} and in {job.report.root}; name "
                    f"each folder once, or give one another name where its source takes it (options: {{dataset: NAME}})"
                )
            roots[part_id] = job.report.root
    fits: dict[str, Fit] = {}
    for job in jobs:
        first, fit = fits.setdefault(job.source.name, fit_of(job.source)), fit_of(job.source)
        if first != fit:
            raise DataEngineError(f"the plan takes {job.source.name} with fit {first} and {fit}; a dataset keeps one")


def left_to_do(config: "EngineConfig", jobs: Sequence[Job]) -> list[list[Part]]:
    """For each dataset the parts that a run would read, after the checks that it makes, without changing anything."""
    refuse(config, jobs)
    if not Corpus.exists(config.corpus):
        return [list(job.parts.values()) for job in jobs]
    corpus = Corpus.open(config.corpus)
    _check_fits(corpus, jobs)
    todo = ingest_todo.find(Committer(corpus.uri, ""), jobs, _limits(config), retry_rejected=config.retry_rejected)
    if todo.parts:
        corpus.check_writable()
    owner = owners(jobs)
    return [[p for p in todo.parts.values() if owner[p.dataset, p.name] == i] for i in range(len(jobs))]


def ingest(config: "EngineConfig", jobs: Sequence[Job], about: Mapping[str, object]) -> None:
    """Read every part that the corpus lacks, commit each exactly once, and fill the jobs' reports.

    `about` is what the run's row keeps as its configuration, with the `roots` as they are found from anywhere. Raise
    when a part is unaccounted for.
    """
    roots = {normal_uri(job.report.root) for job in jobs}
    about = {**about, "roots": sorted(roots), "settings": ingest_todo.settings_of(jobs)}
    refuse(config, jobs)
    try:
        run = _Run(config, jobs, about)
        changed = run.perform()
        run.account(changed=changed)
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
        self.owners = owners(jobs)
        self.parts = {part_id: part for job in jobs for part_id, part in job.parts.items()}
        self.corpus = Corpus.open_or_create(config.corpus)
        for job in jobs:
            job.report.corpus = self.corpus.uri
        self.run_id, self.started_at, self.started = new_run_id(), datetime.now(UTC), time.monotonic()
        self.notes = [NoteTally() for _ in jobs]
        """Serious notes of what this run committed, by dataset."""
        self.version_in = self.corpus.version
        self.committer = Committer(self.corpus.uri, self.run_id)
        self.limits = _limits(config)
        self.reported: set[str] = set()
        """Datasets of which it was said what becomes of their frames."""
        self.landed: set[str] = set()
        """Readings that this run committed, by id."""
        self.todo = self._find()

    def perform(self) -> bool:
        """Commit what an earlier run staged, then read and commit the rest; tell whether there was anything to do."""
        _check_fits(self.corpus, self.jobs)
        if not self.todo.parts:
            return False
        self.corpus.check_writable()
        with ExitStack() as alone:
            for name in sorted({job.source.name for job in self.jobs}):
                alone.enter_context(alone_at(self.corpus.uri, name, "ingest"))
            self.todo = self._find()  # whoever was at it until now may have committed
            _check_fits(self.corpus, self.jobs)
            self._tell_names()
            self._bring_in()
        return True

    def _find(self) -> Todo:
        retry = self.config.retry_rejected
        todo = ingest_todo.find(self.committer, self.jobs, self.limits, retry_rejected=retry)
        for job in self.jobs:
            changed = job.parts.keys() & todo.changed
            job.report.changed_parts = [job.parts[part_id].name for part_id in changed]
        self.committer.receipts.drop({*todo.done, *(part.part_id for part in todo.done.values())})
        return todo

    def _bring_in(self) -> None:
        """Read and commit all that is to do."""
        todo = self.todo.parts
        self.note()
        self.committer.forget_rejected(todo.keys() & self.todo.given_up, records=True)
        staging = self._staging()
        staged = self._staged(staging)
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
                    if live.done < len(todo):
                        self._tell_shapes()

    def _tell_names(self) -> None:
        """Say, while it can be stopped, which folder comes in a second time because its dataset has another name."""
        for job in self.jobs:
            for name in other_names(self.corpus, job, self.about.get("source")):
                line = f"{job.report.root} is in {self.corpus.uri} as {name} already, and comes in as a second dataset"
                print(f"{job.source.name}: {line}; --dataset {name} goes on with that", file=sys.stderr, flush=True)  # noqa: T201

    def _tell_shapes(self) -> None:
        """Say of each dataset, as soon as some of it is in, what becomes of its frames: while it can be stopped."""
        new = self._begun() - self.reported
        self.reported |= new
        self.corpus.refresh()
        for name, shapes in (framing.shapes(self.corpus, new) if new else {}).items():
            if line := shapes.line():
                print(f"{name}: {line}", file=sys.stderr, flush=True)  # noqa: T201

    def _begun(self) -> set[str]:
        """Name the datasets of which this run committed parts, not only what had been rejected of some before."""
        return {job.source.name for job in self.jobs if job.parts.keys() & self.landed}

    def account(self, *, changed: bool) -> None:
        """Check against the tables that every planned part is in exactly one place."""
        now = self._find() if changed else self.todo
        given_up = now.given_up
        lost = [part.name for i, part in self.parts.items() if i not in now.done and i not in given_up]
        if lost:
            raise DataEngineError(
                f"{self.corpus.uri}: {len(lost)} of {len(self.parts)} parts are neither committed nor rejected: "
                f"{few(lost)}; run the same command again"
            )
        self.committer.forget_rejected(now.done.keys() & given_up)
        self.committer.forget_rejected(now.outdated, records=True)
        self.corpus.refresh()
        self.committer.forget_records(ingest_todo.settled(self.corpus, self.jobs, now))
        seconds = time.monotonic() - self.started
        begun = self._begun()
        shapes = framing.shapes(self.corpus, begun) if begun else {}
        for job, notes in zip(self.jobs, self.notes, strict=True):
            report, mine = job.report, job.parts.keys()
            rejects = {part_id: now.rejects_of(part_id) for part_id in mine}
            report.changes = changes(self.corpus, job, mine & now.changed)
            report.committed_parts = len(mine & self.landed)
            report.rejected_parts = sum(bool(rejects[part_id]) for part_id in mine - now.done.keys())
            report.skipped_parts = len(mine) - report.committed_parts - report.rejected_parts
            rejected = [row for rows in rejects.values() for row in rows]
            bad = [row for row in rejected if row["error"] != FILTERED]
            report.reasons = reasons(rejected if report.is_empty and not bad else bad)
            report.ok = not (report.is_empty or (self.config.strict and bad))
            report.notes = notes.summed()
            report.frames = shapes[job.source.name].line() if job.source.name in shapes else ""
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
        return self.jobs[self._owner(self.todo.parts[receipt.part_id])].report

    def _owner(self, part: Part) -> int:
        return self.owners[part.dataset, part.name]

    def _staging(self) -> Staging:
        """Register the datasets and embodiments before any worker starts: ids must not depend on who is first."""
        datasets: dict[str, dict[str, object]] = {}
        embodiments: dict[str, dict[str, object]] = {}
        for source in (job.source for job in self.jobs):
            about = {"name": source.name, "kind": source.kind, "embodiment": source.embodiment}
            datasets.setdefault(source.name, {**about, "licence": source.licence, "layout": source.layout})
            for embodiment in (source.embodiment, *getattr(source, "other_embodiments", ())):
                embodiments.setdefault(
                    embodiment, {"name": embodiment, "kind": source.kind, "control_hz": source.control_hz}
                )
        return Staging(
            corpus=self.corpus.uri,
            run_id=self.run_id,
            dataset_ids=register(self.corpus.uri, "datasets", list(datasets.values())),
            embodiment_ids=register(self.corpus.uri, "embodiments", list(embodiments.values())),
            begun=self.todo.begun(self.corpus),
        )

    def _staged(self, staging: Staging) -> dict[str, Receipt]:
        """Find receipts of an earlier run that still say the truth about their part, of records that are not in yet."""
        receipts, todo = self.committer.receipts, self.todo.parts
        usable = {
            receipt.part_id: receipt
            for receipt in receipts.staged(todo)
            if receipt.fingerprint == todo[receipt.part_id].fingerprint
            and receipt.schema_version == staging.schema_version
            and receipts.missing_file(receipt) is None
        }
        earlier = {name: Earlier(self.corpus.lance_table, name) for name in staging.begun if usable}
        for receipt in list(usable.values()):
            before = earlier.get(receipt.dataset)
            if before is not None and (not receipt.episode_ids or before.has_any(receipt.episode_ids)):
                receipts.drop({receipt.part_id})
                del usable[receipt.part_id]
        return usable

    def _read(self, parts: list[Part], staging: Staging) -> Generator[Receipt | Reject]:
        """Start the engine."""
        config = self.config
        readers = [job.reader for job in self.jobs]
        assigned = [Assigned(self._owner(part), part) for part in parts]
        if config.engine == "ray":
            from dataengine.runners import ray

            return ray.run(readers, assigned, staging, self.limits, address=config.ray_address)
        from dataengine.runners import local

        return local.run(readers, assigned, staging, self.limits)

    def _commit(self, ends: list[Receipt | Reject]) -> None:
        """Commit receipts; give up parts that failed as a whole or hold not one episode."""
        todo = self.todo.parts
        receipts = [end for end in ends if isinstance(end, Receipt)]
        landed = self.committer.commit([r for r in receipts if r.num_episodes or not todo[r.part_id].completion])
        self.landed |= landed
        lost = [(end, todo[end.part_id]) for end in ends if isinstance(end, Reject) or not end.num_episodes]
        given_up = [(_given_up(end, part), part) for end, part in lost if not part.completion]
        self.committer.reject_parts([(r, self.todo.given_up_as(part, r)) for r, part in given_up])
        for end in ends:
            part = todo[end.part_id]
            if part.completion:
                ingest_todo.settle(self.committer, self.todo, part, end, landed=end.part_id in landed)
        self.committer.receipts.drop({r.part_id for r in receipts})
        for receipt in receipts:
            self._count(receipt, landed=receipt.part_id in landed)

    def _count(self, receipt: Receipt, *, landed: bool) -> None:
        """Add to the report what came in, and what of it did not."""
        report, part = self._report(receipt), self.todo.parts[receipt.part_id]
        if receipt.num_episodes and not landed:  # another command was faster
            return
        filtered = sum(reject.error == FILTERED for reject in receipt.rejects)
        report.filtered_records += filtered
        report.rejected_records += len(receipt.rejects) - filtered
        report.episodes += receipt.num_episodes
        report.steps += receipt.num_steps
        report.stored_bytes += receipt.num_bytes
        if part.completion:
            report.completed_parts += landed
            report.recovered_episodes += receipt.num_episodes
        else:
            report.bytes += receipt.source_bytes
        self.notes[self._owner(part)].merge(receipt.notes, receipt.num_episodes)


def _check_fits(corpus: Corpus, jobs: Sequence[Job]) -> None:
    """Raise DataEngineError where a dataset is in the corpus with frames that came to rest in another way."""
    for name, job in {job.source.name: job for job in jobs}.items():
        _check_fit(corpus.uri, job, framing.fit_of(corpus, name))


def _check_fit(where: str, job: Job, there: Fit | None) -> None:
    asked = fit_of(job.source)
    if there is not None and there != asked:
        raise DataEngineError(
            f"{where} has frames of {job.source.name} with fit {there}, asked for {asked}; a dataset keeps one: give "
            f"--fit {there}, or `villa corpus drop {where} {job.source.name}` first"
        )


def _limits(config: "EngineConfig") -> Limits:
    return Limits(
        workers=config.workers,
        max_attempts=config.max_attempts,
        stall_s=config.stall_s,
        memory_gb=config.memory_gb,
    )


def _given_up(end: Receipt | Reject, part: Part) -> Reject:
    """Give up a part without episodes: no row of the table would ever say that it is done."""
    if isinstance(end, Reject):
        return end
    first = f"; the first: {end.rejects[0].reason}" if end.rejects else ""
    outcome = f"{end.num_known} good records came in with other parts" if end.num_known else "found no good record"
    errors = {reject.error for reject in end.rejects}
    error = FILTERED if errors == {FILTERED} else LIMITED[0] if LIMITED[0] in errors else "EmptyPart"
    return Reject(
        part_id=end.part_id,
        dataset=end.dataset,
        source_uri=part.uri,
        record="",
        reason=f"{outcome}, {len(end.rejects)} bad ones{first}",
        error=HELD if end.num_known and not end.rejects else error,
        attempts=end.attempts,
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
