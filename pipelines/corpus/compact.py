"""Few large fragments in place of many small ones, and old versions away: `villa corpus compact`."""

import re
import time
from datetime import timedelta

from pydantic import Field

from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.report import Report
from pipelines.output.text_table import human_bytes

UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}

COUNTS = {"fragments_before", "fragments_after", "rewritten_bytes", "removed_versions", "removed_bytes"}
"""What is kept of a run."""


class CompactConfig(Config):
    """Which corpus, and how far to go."""

    corpus: str
    """Directory or object-store URI."""
    target_bytes: int = Field(1_000_000_000, ge=1_000_000, le=1_000_000_000_000)
    """Bytes of a large fragment; those of half of that and more are left alone."""
    older_than: str | None = None
    """Also remove versions of this age that are no snapshot: `7d`, `12h`; without it none is removed."""
    dry_run: bool = False
    """Tell what would be done, change nothing."""


class CompactReport(Report):
    """What was rewritten and removed."""

    corpus: str
    fragments_before: int
    fragments_after: int
    rewritten_bytes: int = 0
    """Bytes of the fragments that were copied into larger ones."""
    hollow_fragments: int = 0
    """Of them, those that were copied without episodes that had been dropped."""
    conflicts: int = 0
    """Groups of fragments that somebody else kept changing: they are as they were."""
    bytes_before: int
    """Of all files of the corpus, old versions included."""
    bytes_after: int
    removed_versions: int = 0
    removed_files: int = 0
    removed_bytes: int = 0
    seconds: float = 0.0
    dry_run: bool = False

    def summary(self) -> str:
        """Say what was done, what could not be, and what still lies there."""
        would = "would " if self.dry_run else ""
        if self.fragments_after == self.fragments_before and not self.hollow_fragments:
            lines = [f"{self.corpus}: {self.fragments_before} fragments, none small enough to be worth rewriting"]
        else:
            done = f"{would}make {self.fragments_after} of" if self.dry_run else f"{self.fragments_after} made of"
            copied = human_bytes(self.rewritten_bytes)
            lines = [f"{self.corpus}: {done} {self.fragments_before} fragments ({copied} copied)"]
            if self.hollow_fragments:
                lines.append(
                    f"{self.hollow_fragments} {would and 'would be '}rewritten without the episodes that were dropped"
                )
        if self.conflicts:
            lines.append(
                f"{self.conflicts} groups were changed by another command each time and stay as they were; "
                "run it again when that has finished"
            )
        if self.removed_versions or self.removed_files:
            what = (
                f"{self.removed_versions} old versions, {self.removed_files} files, {human_bytes(self.removed_bytes)}"
            )
            lines.append(f"would remove {what}" if self.dry_run else f"removed {what}")
        if not self.dry_run:
            lines.append(f"on disk {human_bytes(self.bytes_after)}, before {human_bytes(self.bytes_before)}")
        return "\n".join(lines)


def run(config: CompactConfig) -> CompactReport:
    """Rewrite small fragments, then remove what is old enough; kill it at any moment and run it again."""
    from dataengine.progress import task
    from dataengine.storage import Folder
    from dataengine.store import Corpus
    from dataengine.store.tables import open_table
    from dataengine.store.upkeep import cleanup, compaction

    start = time.monotonic()
    corpus = Corpus.open(config.corpus)
    if corpus.snapshot is not None:
        raise DataEngineError(
            f"snapshot '{corpus.snapshot.name}' never changes; run `villa corpus compact {corpus.uri}`, "
            f"which leaves snapshots as they are"
        )
    version = corpus.version
    age = parse_age(config.older_than) if config.older_than else None
    if age is not None:
        cleanup.check(corpus.uri, age)
    pieces = compaction.pieces(open_table(corpus.uri, "episodes"), corpus.uri)
    groups = compaction.groups(pieces, config.target_bytes)
    num_bytes = sum(piece.num_bytes for group in groups for piece in group)
    before = sum(Folder(corpus.uri).tree().values())
    report = CompactReport(
        corpus=corpus.uri,
        fragments_before=len(pieces),
        fragments_after=len(pieces) - sum(len(group) - 1 for group in groups),
        rewritten_bytes=num_bytes,
        hollow_fragments=sum(piece.is_hollow for group in groups for piece in group),
        bytes_before=before,
        bytes_after=before,
        dry_run=config.dry_run,
    )
    if not config.dry_run:
        with task("compact", num_bytes, "bytes") as live:
            done = compaction.compact(corpus.uri, config.target_bytes, live)
        compaction.compact_side_tables(corpus.uri)
        report.rewritten_bytes, report.conflicts = done.num_bytes, done.left
        corpus.refresh()
        report.fragments_after = len(corpus.fragment_ids())
    if age is not None:
        cleaned = cleanup.clean(corpus.uri, age, dry_run=config.dry_run)
        report.removed_versions, report.removed_files = cleaned.versions, cleaned.files
        report.removed_bytes = cleaned.num_bytes
    if not config.dry_run:
        report.bytes_after = sum(Folder(corpus.uri).tree().values())
    report.seconds = round(time.monotonic() - start, 3)
    if not config.dry_run and (report.removed_versions or report.rewritten_bytes):
        counts = report.model_dump(include=COUNTS)
        run = {"command": "compact", "config": config.model_dump(), "seconds": report.seconds, "counts": counts}
        corpus.append_run({**run, "version_in": version, "version_out": corpus.version})
    return report


def parse_age(text: str) -> timedelta:
    """Read `7d`, `12h` or `90m`."""
    match = re.fullmatch(r"(\d+)([mhd])", text)
    if not match:
        raise ValueError(f"--older-than {text}: expected an age such as 7d, 12h or 90m")
    return int(match[1]) * UNITS[match[2]]
