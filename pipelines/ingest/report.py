"""What an ingest says when it is done."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import Field

from dataengine.notes import NoteCount
from dataengine.report import Report

COUNTS = (
    *("planned_parts", "committed_parts", "skipped_parts", "rejected_parts"),
    *("completed_parts", "recovered_episodes", "rejected_records", "filtered_records"),
    *("episodes", "steps", "bytes", "stored_bytes"),
)
"""What adds up over datasets, and is kept of every run."""


MAX_REASONS = 3

KNOW = "know before you train:"
"""Heads the serious notes."""


class Reason(Report):
    """Why records and parts were rejected, counted."""

    count: int
    reason: str
    """The first of those that differ in numbers only."""
    first: str = ""
    """File and record of that one."""

    def line(self) -> str:
        """Say how many, why, and which one to look at."""
        return f"{self.count} x {self.reason} ({'the first: ' if self.count > 1 else ''}{self.first})"


class Change(Report):
    """Parts that were left as they are, for one reason."""

    reason: str
    parts: list[str]
    advice: str

    def line(self) -> str:
        """Say why, which, and how to take the new version."""
        return f"{self.reason}, left as they are: {few(self.parts)}; {self.advice}"


class IngestReport(Report):
    """What became of every part: planned = committed + skipped + rejected."""

    corpus: str = ""
    source: str
    root: str = ""
    planned_parts: int = 0
    committed_parts: int = 0
    skipped_parts: int = 0
    """In the corpus already, from an earlier run or another one beside this."""
    completed_parts: int = 0
    """Skipped parts that were read again for their rejected records, some of which came in now."""
    recovered_episodes: int = 0
    """Episodes of those."""
    rejected_parts: int = 0
    """Could not be read at all, now or in an earlier run."""
    rejected_records: int = 0
    """Bad records of the parts that this run committed."""
    filtered_records: int = 0
    """Sound records of those parts that a rule of the dataset leaves out."""
    changed_parts: list[str] = Field(default_factory=list)
    """Skipped parts whose source, or the settings they were read with, have changed since they were committed."""
    changes: list[Change] = Field(default_factory=list)
    """Why, and how to take the new version."""
    resumed_parts: int = 0
    """Committed parts that an earlier run had read before it was stopped."""
    episodes: int = 0
    steps: int = 0
    bytes: int = 0
    """Of the raw parts that were committed."""
    stored_bytes: int = 0
    """Of their frames in the corpus."""
    seconds: float = 0.0
    steps_per_second: float = 0.0
    dry_run: bool = False
    parts: list[str] = Field(default_factory=list)
    """Parts that would be read, in a dry run."""
    notes: list[NoteCount] = Field(default_factory=list)
    """What everybody must know of the episodes that this run committed; `villa corpus info` tells it of all."""
    frames: str = ""
    """What became of frames that are not square, in a line; empty where all are, and where no new part came in."""
    reasons: list[Reason] = Field(default_factory=list)
    """Why records and parts of the dataset were rejected, now or in an earlier run, the commonest first."""
    ok: bool = True
    """False when the corpus has no episode of the dataset; with `strict` also when anything was rejected."""

    def summary(self) -> str:
        """Say what was read, or that nothing was left to do."""
        if self.dry_run:
            listed = "\n".join(f"  {name}" for name in self.parts)
            size = f"{self.bytes / 1e6:.1f} MB"
            head = f"would read {len(self.parts)} of {self.planned_parts} parts, {size} of {self.source}"
            return f"{head}\n{listed}" if listed else head
        lines = []
        if self.is_empty:
            lines.append(f"nothing came in: {self.corpus} has no episode of {self.root}")
        if self.completed_parts:
            lines.append(
                f"{self.recovered_episodes} episodes came in that had been rejected before, "
                f"of {self.completed_parts} parts in {self.corpus}"
            )
        if self.committed_parts:
            rate = f"{self.steps_per_second:.0f} steps/s" if self.steps else "no steps"
            lines.append(
                f"{self.committed_parts} of {self.planned_parts} parts committed: {self.episodes} episodes, "
                f"{self.steps} steps in {self.seconds:.1f} s ({rate}) to {self.corpus}"
            )
        if self.skipped_parts:
            what = "nothing to do: " if not self.committed_parts and not self.completed_parts else ""
            lines.append(f"{what}{self.skipped_parts} of {self.planned_parts} parts are in {self.corpus} already")
        if self.rejected_parts or self.rejected_records:
            count = f"{self.rejected_parts} parts, {self.rejected_records} records"
            lines.append(f"rejected: {count}; `villa corpus rejects {self.corpus}` lists them")
        elif self.reasons:
            lines.append(f"rejected by an earlier run (`villa corpus rejects {self.corpus}` lists them):")
        lines += [f"  {why}" for why in self.why_rejected()]
        if self.filtered_records:
            count = f"{self.filtered_records} records"
            lines.append(f"left out by rules of the dataset: {count}; `villa corpus rejects` lists them")
        lines += [change.line() for change in self.changes]
        if self.frames:
            lines.append(self.frames)
        if self.notes:
            lines += [KNOW, *(f"  {note.line()}" for note in self.notes)]
        if why := self.why_failed():
            lines.append(why)
        return "\n".join(lines) or f"nothing committed to {self.corpus}"

    @property
    def is_empty(self) -> bool:
        """Tell whether not one part of it is in the corpus."""
        return not self.dry_run and not self.committed_parts and not self.skipped_parts

    def why_rejected(self) -> list[str]:
        """Give the commonest reasons, a line each."""
        more = len(self.reasons) - MAX_REASONS
        lines = [reason.line() for reason in self.reasons[:MAX_REASONS]]
        return [*lines, *([f"and {more} other reasons"] if more > 0 else [])]

    def why_failed(self) -> str:
        """Say in a line that `--strict` does not accept what was rejected, else nothing."""
        if self.ok or self.is_empty:
            return ""
        count = sum(reason.count for reason in self.reasons)
        advice = "mend what is named above, then the same command reads it again"
        return f"--strict accepts no rejects, found {count} of {self.source}, now or before; {advice}"


def reasons(rejected: Iterable[Mapping[str, str]]) -> list[Reason]:
    """Count reasons that differ in numbers or their file only (of records, frames) as one, the commonest first."""
    counts: Counter[str] = Counter()
    first: dict[str, Mapping[str, str]] = {}
    for row in rejected:
        kind = re.sub(r"\d+", "#", _without_file(row))
        counts[kind] += 1
        first.setdefault(kind, row)
    return [
        Reason(
            count=n,
            reason=_without_file(first[kind]) if n > 1 else first[kind]["reason"],
            first=_where(first[kind]),
        )
        for kind, n in counts.most_common()
    ]


def _without_file(row: Mapping[str, str]) -> str:
    """Give a reason without what names a file: of ten thousand missing videos each has another."""
    file = row["source_uri"].partition("?")[0].rstrip("/").rpartition("/")[2]
    reason = row["reason"].partition("; the first: ")[0]
    return reason.removeprefix(f"{file}: ") if file else reason


def _where(row: Mapping[str, str]) -> str:
    """Name the file of a reject, and its record where the file does not."""
    file = row["source_uri"].partition("?")[0].rstrip("/").rpartition("/")[2]
    if "/" in row["record"]:
        return row["record"]
    return file if row["record"] in file else f"{file} {row['record']}"


def few(names: list[str]) -> str:
    """List names, but not hundreds."""
    return ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
