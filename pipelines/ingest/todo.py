"""What a run has to do: parts that the corpus lacks, and parts that are in but for records that were rejected.

A part is done once rows carry its id. What was rejected of it is tried again as a whole part is that was given up: when
its files have changed, or when asked. That reading is a part of its own to the ledger, a completion, and stages only
records that the corpus lacks; so it, too, is committed once, whoever is killed and however often it is read.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from dataengine.episode import Part, Reject, stable_id
from dataengine.errors import ChangedError, FilteredRecordError, LimitError
from dataengine.runners.attempts import WORKER_DIED, Limits
from dataengine.store import Committer, Corpus
from dataengine.store.commit.committer import GivenUp
from dataengine.store.commit.receipts import Receipt
from dataengine.store.earlier import Earlier
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
    given_up: Mapping[str, GivenUp]
    bad: Mapping[str, Sequence[Row]]
    """Rejected records of readings that are done, by id."""
    begun: frozenset[str]
    """Datasets of which other readings than these have brought records."""

    @property
    def outdated(self) -> set[str]:
        """Readings whose rejects a later one has settled: a kill came between its commit and that."""
        return {i for part in self.done.values() for i in _before(part) if i in self.bad}


def find(committer: Committer, jobs: Sequence[Job], limits: Limits, *, retry_rejected: bool) -> Todo:
    """Compare what is planned with what the corpus holds."""
    ledger, given_up = committer.ledger(), committer.rejected_parts()
    corpus = Corpus.open(committer.corpus)
    bad: dict[str, list[Row]] = {}
    for row in corpus.rejects().to_pylist():
        if row["record"]:
            bad.setdefault(row["part_id"], []).append(row)
    parts: dict[str, Part] = {}
    done: dict[str, Part] = {}
    changed = set()
    settings = _settings(corpus)
    for job in jobs:
        done |= readings(job.parts, ledger)
        for part_id, part in job.parts.items():
            if part_id not in done:
                if retry_rejected or not _stays_given_up(part, given_up.get(part_id), limits):
                    parts[part_id] = part
                continue
            last = done[part_id]
            rejects = [row for row in bad.get(last.part_id, ()) if row["error"] != FILTERED]
            moved = not all(_is_as_then(part, row["source_fingerprint"], limits) for row in rejects)
            is_as_then = rejects and not moved and all(row["record"] != AGAIN for row in rejects)
            if ledger[last.part_id] != part.fingerprint and not is_as_then:
                changed.add(part_id)
            alike = all(settings.get(row["run_id"], {}).get(part.dataset) == [job.settings] for row in rejects)
            if rejects and alike and (moved or retry_rejected):
                following = last.completed()
                parts[following.part_id] = following
    known = {part.part_id for part_id, part in done.items() if part_id not in changed}
    begun = _begun(corpus, {part.dataset for part in parts.values()}, ledger.keys() - known) if parts else frozenset()
    begun |= {part.dataset for part in parts.values() if part.completion}
    return Todo(parts, done, frozenset(changed), given_up, bad, frozenset(begun))


def given_up_as(part: Part, reject: Reject, limits: Limits) -> str:
    """Fingerprint under which a part stays given up: with the limits, if it was they that stopped it.

    None for one that changed meanwhile, for it may be again what it was planned as.
    """
    if reject.error == ChangedError.__name__:
        return ""
    return _limited(part, limits) if reject.error in LIMITED else part.fingerprint


def _stays_given_up(part: Part, how: GivenUp | None, limits: Limits) -> bool:
    """Read a part again that was given up only when its bytes or what stopped it have changed."""
    return how is not None and _is_as_then(part, how.fingerprint, limits)


def _is_as_then(part: Part, fingerprint: str, limits: Limits) -> bool:
    return fingerprint in (part.fingerprint, _limited(part, limits))


def _limited(part: Part, limits: Limits) -> str:
    """Fingerprint of a part that was given up for the limits of its reader."""
    return stable_id(part.fingerprint, limits.words)


def readings(parts: Mapping[str, Part], ledger: Mapping[str, str]) -> dict[str, Part]:
    """Give those of the parts that are in the table, each as the reading that was committed last."""
    return {part_id: _last(part, ledger) for part_id, part in parts.items() if part_id in ledger}


def _last(part: Part, ledger: Mapping[str, str]) -> Part:
    while (following := part.completed()).part_id in ledger:
        part = following
    return part


def _before(part: Part) -> list[str]:
    """Ids of the readings before one of a part."""
    return [part.completed(by=-k).part_id for k in range(1, part.completion + 1)]


def settings_of(jobs: Iterable[Job]) -> dict[str, list[str]]:
    """Write down, for the row of a run, what shapes the rows of each dataset."""
    found: dict[str, set[str]] = {}
    for job in jobs:
        found.setdefault(job.source.name, set()).add(job.settings)
    return {name: sorted(words) for name, words in found.items()}


def _settings(corpus: Corpus) -> dict[str, Mapping[str, list[str]]]:
    """Tell what every run wrote down; nothing of those from before they did."""
    found = {}
    for run in corpus.runs().select(["run_id", "command", "config"]).to_pylist():
        if run["command"] == "ingest":
            with suppress(ValueError, TypeError, KeyError):
                found[run["run_id"]] = json.loads(run["config"])["settings"]
    return found


def _begun(corpus: Corpus, datasets: set[str], others: set[str]) -> frozenset[str]:
    """Tell which of the datasets have rows that came with `others`: parts that are not planned now, or have changed."""
    names = datasets & corpus.datasets().keys()
    if not names or not others:
        return frozenset()
    listed = ", ".join("'{}'".format(name.replace("'", "''")) for name in sorted(names))
    held = corpus.distinct(["dataset", "part_id"], f"dataset IN ({listed})")
    return frozenset(dataset for dataset, part_id in held if part_id in others)


def settle(
    committer: Committer, part: Part, end: Receipt | Reject, todo: Todo, limits: Limits, *, landed: bool
) -> None:
    """Put in order which records of a part are bad, after a reading that was to complete it.

    One that brought rows has rejects of its own, and those of before are settled. Of one that brought none they are
    recorded in place of those before, so that it is not read again before something changes.
    """
    before = part.completed(by=-1).part_id
    if landed:
        committer.forget_rejected(_before(part), records=True)
    elif isinstance(end, Reject):
        failed = replace(end, record=AGAIN)
        rejects = [*map(_as_reject, todo.bad[before]), failed]
        committer.reject_records(before, rejects, given_up_as(part, failed, limits))
    elif not end.num_episodes:
        committer.reject_records(before, end.rejects, part.fingerprint)


def settled(corpus: Corpus, jobs: Sequence[Job], done: Mapping[str, Part]) -> list[str]:
    """List rejects of parts that are planned no more, for their bounds have moved, if others have settled them.

    Their record is in the table, or rejected anew by the part that it belongs to now; so it is with a part as a whole.
    """
    planned = {part_id for job in jobs for part_id in job.parts}
    planned |= {part_id for part in done.values() for part_id in (part.part_id, *_before(part))}
    names = {job.source.name for job in jobs}
    rows = [row for row in corpus.rejects().to_pylist() if row["dataset"] in names]
    orphans: dict[str, list[Row]] = {}
    for row in rows:
        if row["part_id"] not in planned:
            orphans.setdefault(row["part_id"], []).append(row)
    if not orphans:
        return []
    anew = {(row["source_uri"], row["record"]) for row in rows if row["part_id"] in planned}
    held = {name: Earlier(corpus.lance_table, name) for name in names}

    def is_settled(row: Row) -> bool:
        is_in = held[row["dataset"]].has_any([stable_id(row["dataset"], row["record"])])
        return is_in or (row["source_uri"], row["record"]) in anew

    found = []
    for mine in orphans.values():
        records = [row for row in mine if row["record"]]
        gone = [row["reject_id"] for row in records if is_settled(row)]
        is_whole = len(gone) == len(records) > 0
        found += [*gone, *(row["reject_id"] for row in mine if is_whole and not row["record"])]
    return found


def _as_reject(row: Row) -> Reject:
    names = ("part_id", "dataset", "source_uri", "record", "reason", "error", "attempts", "traceback_digest")
    return Reject(**{name: row[name] for name in names})  # type: ignore[arg-type]
