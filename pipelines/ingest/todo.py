"""What a run has to do: parts that the corpus lacks, and parts that are in but for records that were rejected.

A part is done once rows carry its id. What was rejected of it is tried again as a whole part is that was given up: when
its files have changed, or when asked. That reading is a part of its own to the ledger, a completion, and stages only
records that the corpus lacks; so it, too, is committed once, whoever is killed and however often it is read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dataengine.digest import stable_id
from dataengine.episode import Part, Reject
from dataengine.errors import ChangedError, FilteredRecordError, LimitError
from dataengine.runners.attempts import WORKER_DIED, Limits
from dataengine.store import Committer, Corpus
from dataengine.store.commit.committer import HELD
from dataengine.store.commit.receipts import Receipt
from dataengine.store.earlier import Earlier
from dataengine.store.kept import is_one_of
from pipelines.ingest.changed import configs
from pipelines.ingest.jobs import Job

FILTERED = FilteredRecordError.__name__
"""Error of rejects that are no fault: a rule of the dataset leaves them out."""

LIMITED = (LimitError.__name__, WORKER_DIED)
"""Errors of parts that other limits of memory and time might let in."""

AGAIN = "a second reading"
"""Record of a reject that says why what had been rejected could not be read again."""

Row = Mapping[str, str]
"""Of rejects.lance."""


@dataclass(frozen=True)
class Todo:
    """The work of a run, by the tables as they are."""

    parts: Mapping[str, Part]
    """To read, by id."""
    done: Mapping[str, Part]
    """Planned parts that are in the table, by id, each as the reading that was committed last."""
    changed: frozenset[str]
    """Ids of those whose files, or the settings they were read with, are not those of then."""
    rejects: Mapping[str, Sequence[Row]]
    """By part, of all datasets."""
    others: frozenset[str]
    """Parts in the table that are not planned, or were otherwise: of any dataset, and with records of any part."""
    limits: Limits

    @property
    def given_up(self) -> set[str]:
        """Parts that were given up as a whole."""
        return {part_id for part_id, rows in self.rejects.items() if _whole(rows)}

    @property
    def outdated(self) -> set[str]:
        """Readings whose rejects a later one has settled: a kill came between its commit and that."""
        return {i for part in self.done.values() for i in _before(part) if i in self.rejects}

    def rejects_of(self, part_id: str) -> list[Row]:
        """List what was rejected of a planned part; of one that is given up for its bad records just these."""
        rows = self.rejects.get(self.done[part_id].part_id if part_id in self.done else part_id, ())
        records = [row for row in rows if row["record"]]
        return records if records or part_id in self.done else [row for row in rows if row["error"] != HELD]

    def given_up_as(self, part: Part, reject: Reject) -> str:
        """Fingerprint under which a part stays given up: with the limits, if it was they that stopped it.

        None for one that changed meanwhile, for it may be again what it was planned as.
        """
        if reject.error == ChangedError.__name__:
            return ""
        return _limited(part, self.limits) if reject.error in LIMITED else part.fingerprint

    def begun(self, corpus: Corpus) -> frozenset[str]:
        """Name the datasets to read of which the corpus may hold records that the ledger does not tell of."""
        datasets = {part.dataset for part in self.parts.values()}
        names = datasets & corpus.datasets().keys() if self.others else set()
        held = set[str]()
        if names:
            rows = corpus.distinct(["dataset", "part_id"], is_one_of("dataset", names))
            held = {dataset for dataset, part_id in rows if part_id in self.others}
        return frozenset(held | {part.dataset for part in self.parts.values() if part.completion})


def find(committer: Committer, jobs: Sequence[Job], limits: Limits, *, retry_rejected: bool) -> Todo:
    """Compare what is planned with what the corpus holds."""
    ledger, corpus = committer.ledger(), Corpus.open(committer.corpus)
    rejects: dict[str, list[Row]] = {}
    for row in corpus.rejects().to_pylist():
        rejects.setdefault(row["part_id"], []).append(row)
    settings: dict[str, Mapping[str, list[str]]] = {
        run_id: config.get("settings") or {} for run_id, config in configs(corpus).items()
    }
    parts: dict[str, Part] = {}
    done: dict[str, Part] = {}
    changed, as_planned = set[str](), set[str]()
    for job in jobs:
        for part_id, part in job.parts.items():
            if part_id not in ledger:
                whole = _whole(rejects.get(part_id, ()))
                if retry_rejected or not (whole and _is_as_then(part, whole, limits)):
                    parts[part_id] = part
                continue
            done[part_id] = last = _last(part, ledger)
            readings = [part_id] if last is part else [*_before(last), last.part_id]
            as_planned.update(i for i in readings if ledger[i] == part.fingerprint)
            bad = [row for row in rejects.get(readings[-1], ()) if row["record"] and row["error"] != FILTERED]
            moved = [row for row in bad if not _is_as_then(part, row, limits)]
            is_compared = bad and not moved and all(row["record"] != AGAIN for row in bad)
            if readings[-1] not in as_planned and not is_compared:
                changed.add(part_id)
            alike = all(settings.get(row["run_id"], {}).get(part.dataset) == [job.settings] for row in moved)
            if alike and (moved or (bad and retry_rejected)):
                following = replace(last, completion=last.completion + 1)
                parts[following.part_id] = following
    return Todo(parts, done, frozenset(changed), rejects, frozenset(ledger.keys() - as_planned), limits)


def settings_of(jobs: Iterable[Job]) -> dict[str, list[str]]:
    """Write down, for the row of a run, what shapes the rows of each dataset."""
    by_source: dict[str, set[str]] = {}
    for job in jobs:
        by_source.setdefault(job.source.name, set()).add(job.settings)
    return {name: sorted(settings) for name, settings in by_source.items()}


def settle(committer: Committer, todo: Todo, part: Part, end: Receipt | Reject, *, landed: bool) -> None:
    """Put in order which records of a part are bad, after a reading that was to complete it.

    One that brought rows has rejects of its own, and those of before are settled. Of one that brought none they are
    recorded in place of those before, so that it is not read again before something changes.
    """
    before = part.id_of(part.completion - 1)
    if landed:
        committer.forget_rejected(_before(part), records=True)
    elif isinstance(end, Reject):
        failed = replace(end, record=AGAIN)
        rejects = [*map(_as_reject, todo.rejects[before]), failed]
        committer.reject_records(before, rejects, todo.given_up_as(part, failed))
    elif not end.num_episodes:
        committer.reject_records(before, end.rejects, part.fingerprint)


def settled(corpus: Corpus, jobs: Sequence[Job], todo: Todo) -> list[str]:
    """List rejects of parts that are planned no more, for their bounds have moved, if others have settled them.

    Their record is in the table, or rejected anew by the part that it belongs to now; so it is with a part as a whole.
    """
    planned = {part_id for job in jobs for part_id in job.parts}
    planned |= {part_id for part in todo.done.values() for part_id in (part.part_id, *_before(part))}
    names = {job.source.name for job in jobs}
    mine = {i: rows for i, rows in todo.rejects.items() if rows[0]["dataset"] in names}
    if not mine.keys() - planned:
        return []
    anew = {(row["source_uri"], row["record"]) for i, rows in mine.items() if i in planned for row in rows}
    held = {name: Earlier(corpus.lance_table, name) for name in names}
    reject_ids = []
    for part_id in mine.keys() - planned:
        records = [row for row in mine[part_id] if row["record"]]
        gone = [
            row["reject_id"]
            for row in records
            if (row["source_uri"], row["record"]) in anew
            or held[row["dataset"]].has_any([stable_id(row["dataset"], row["record"])])
        ]
        is_whole = len(gone) == len(records) > 0
        reject_ids += [row["reject_id"] for row in mine[part_id]] if is_whole else gone
    return reject_ids


def _whole(rows: Sequence[Row]) -> Row | None:
    """Give the row by which a part was given up."""
    return next((row for row in rows if not row["record"]), None)


def _is_as_then(part: Part, reject: Row, limits: Limits) -> bool:
    """Tell whether a part, and what stopped it, are what they were when something of it was rejected."""
    return reject["source_fingerprint"] in (part.fingerprint, _limited(part, limits))


def _limited(part: Part, limits: Limits) -> str:
    """Fingerprint of a part that was given up for the limits of its reader."""
    return stable_id(part.fingerprint, limits.as_text)


def _last(part: Part, ledger: Mapping[str, str]) -> Part:
    """Give a part that is in the table as the reading that was committed last."""
    completion = 0
    while part.id_of(completion + 1) in ledger:
        completion += 1
    return replace(part, completion=completion) if completion else part


def _before(part: Part) -> list[str]:
    """Ids of the readings before one of a part."""
    return [part.id_of(completion) for completion in range(part.completion)]


def _as_reject(row: Row) -> Reject:
    names = ("part_id", "dataset", "source_uri", "record", "reason", "error", "attempts", "traceback_digest")
    return Reject(**{name: row[name] for name in names})  # type: ignore[arg-type]
