"""What an ingest says when it is done."""

from pydantic import Field

from dataengine.report import Report

COUNTS = (
    *("planned_parts", "committed_parts", "skipped_parts", "rejected_parts"),
    *("rejected_records", "filtered_records", "episodes", "steps", "bytes", "stored_bytes"),
)
"""What adds up over datasets, and is kept of every run."""


class IngestReport(Report):
    """What became of every part: planned = committed + skipped + rejected."""

    corpus: str = ""
    source: str
    root: str = ""
    planned_parts: int = 0
    committed_parts: int = 0
    skipped_parts: int = 0
    """In the corpus already, from an earlier run."""
    rejected_parts: int = 0
    """Could not be read at all, now or in an earlier run."""
    rejected_records: int = 0
    """Bad records of the parts that this run committed."""
    filtered_records: int = 0
    """Sound records of those parts that a rule of the dataset leaves out."""
    changed_parts: list[str] = Field(default_factory=list)
    """Skipped parts whose source, or the settings they were read with, have changed since they were committed."""
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
    ok: bool = True
    """False when `strict` was asked for and something was rejected."""

    def summary(self) -> str:
        """Say what was read, or that nothing was left to do."""
        if self.dry_run:
            listed = "\n".join(f"  {name}" for name in self.parts)
            size = f"{self.bytes / 1e6:.1f} MB"
            head = f"would read {len(self.parts)} of {self.planned_parts} parts, {size} of {self.source}"
            return f"{head}\n{listed}" if listed else head
        lines = []
        if self.committed_parts:
            rate = f"{self.steps_per_second:.0f} steps/s" if self.steps else "no steps"
            lines.append(
                f"{self.committed_parts} of {self.planned_parts} parts committed: {self.episodes} episodes, "
                f"{self.steps} steps in {self.seconds:.1f} s ({rate}) to {self.corpus}"
            )
        if self.skipped_parts:
            what = "nothing to do: " if not self.committed_parts else ""
            lines.append(f"{what}{self.skipped_parts} of {self.planned_parts} parts are in {self.corpus} already")
        if self.rejected_parts or self.rejected_records:
            lines.append(f"rejected: {self.rejected_parts} parts, {self.rejected_records} records; see rejects.lance")
        if self.filtered_records:
            lines.append(f"left out by rules of the dataset: {self.filtered_records} records; see rejects.lance")
        if self.changed_parts:
            lines.append(
                f"changed since they were committed, left as they are: {few(self.changed_parts)}; "
                "ingest into a new corpus to take the new version"
            )
        return "\n".join(lines) or f"nothing committed to {self.corpus}"


def few(names: list[str]) -> str:
    """List names, but not hundreds."""
    return ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
