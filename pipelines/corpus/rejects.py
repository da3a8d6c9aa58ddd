"""What of a corpus's sources could not be read, and why: `villa corpus rejects`."""

from pydantic import Field

from dataengine.config import Config
from dataengine.report import Report
from pipelines.corpus.names import known_dataset
from pipelines.ingest.report import Reason, reasons
from pipelines.ingest.todo import FILTERED
from pipelines.output.text_table import text_table

MOST_LETTERS = 120
"""Letters of a reason that the table prints; the report has all of it."""
WHOLE = "(the whole part)"


class RejectsConfig(Config):
    """Which rejects of which corpus."""

    corpus: str
    """Directory or object-store URI, or a snapshot of it."""
    dataset: str | None = None
    """Only those of this dataset."""
    reason: str | None = None
    """Only those with these words in their reason, in whatever case."""
    limit: int = Field(20, ge=0, le=10_000_000)
    """Rejects that are listed; 0 for all. All are counted."""


class Rejected(Report):
    """A record, or with an empty `record` a whole part, that is not in the corpus."""

    dataset: str
    part: str
    """Id of its part."""
    record: str
    file: str
    """Where it lies, or lay then."""
    reason: str
    error: str
    attempts: int
    """How often it was tried."""

    def row(self) -> list[str]:
        """Print it in a line of a table."""
        record = self.record or f"{WHOLE} {self.file.rpartition('/')[2]}"
        return [self.dataset, self.part, record, _short(self.reason)]


class RejectsReport(Report):
    """Rejects by reason, then one by one."""

    corpus: str
    parts: int
    """That could not be read at all."""
    records: int
    """Bad ones, of parts that are in the corpus or not."""
    filtered: int
    """Sound records that a rule of their dataset leaves out."""
    reasons: list[Reason]
    """The commonest first."""
    rejects: list[Rejected]
    """The first of them."""

    @property
    def count(self) -> int:
        """Count what there is to list: of a part that was given up for its records just those."""
        return sum(why.count for why in self.reasons)

    def summary(self) -> str:
        """Print the reasons, then the rejects, then what to do."""
        if not self.count:
            return f"{self.corpus}: nothing was rejected that was asked for"
        filtered = f"; left out by rules of their datasets: {self.filtered:,} records" if self.filtered else ""
        lines = [f"{self.corpus}: rejected {self.parts:,} parts, {self.records:,} records{filtered}"]
        rows = [[why.count, _short(why.reason), why.first] for why in self.reasons]
        lines += [text_table(["count", "reason", "the first"], rows), ""]
        if self.rejects:
            lines.append(text_table(["dataset", "part", "record", "reason"], [each.row() for each in self.rejects]))
        if self.count > len(self.rejects):
            lines.append(f"and {self.count - len(self.rejects):,} more; --limit 0 lists all, --reason WORDS some")
        if self.parts or self.records:
            lines.append(
                "next: mend what they name, then the same `villa ingest` reads it; --retry-rejected tries files that "
                f"are the same; `villa corpus drop {self.corpus} DATASET`, to ingest with other settings"
            )
        return "\n".join(lines)


def run(config: RejectsConfig) -> RejectsReport:
    """Count rejects and list the first of them, by dataset, part and record."""
    from dataengine.store import Corpus
    from dataengine.store.commit.committer import HELD

    corpus = Corpus.open(config.corpus)
    if config.dataset is not None:
        known_dataset(corpus, config.dataset)
    phrase = (config.reason or "").casefold()
    rows = [
        row
        for row in corpus.rejects()
        .sort_by([(key, "ascending") for key in ("dataset", "part_id", "record")])
        .to_pylist()
        if row["error"] != HELD  # a part without records of its own, which are in other parts: no fault
        and config.dataset in (None, row["dataset"])
        and phrase in row["reason"].casefold()
    ]
    filtered = sum(row["error"] == FILTERED for row in rows)
    parts = sum(not row["record"] for row in rows if row["error"] != FILTERED)
    records = len(rows) - filtered - parts
    explained = {row["part_id"] for row in rows if row["record"]}
    rows = [
        row for row in rows if row["record"] or row["part_id"] not in explained
    ]  # its records say why it is not there
    return RejectsReport(
        corpus=corpus.uri,
        parts=parts,
        records=records,
        filtered=filtered,
        reasons=reasons(rows),
        rejects=[_rejected(row) for row in rows[: config.limit or None]],
    )


def _short(reason: str) -> str:
    return reason if len(reason) <= MOST_LETTERS else f"{reason[:MOST_LETTERS]}..."


def _rejected(row: dict[str, str]) -> Rejected:
    return Rejected(
        dataset=row["dataset"],
        part=row["part_id"],
        record=row["record"],
        file=row["source_uri"],
        reason=row["reason"],
        error=row["error"],
        attempts=int(row["attempts"]),
    )
