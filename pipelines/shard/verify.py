"""`villa shard FOLDER --verify`: are the shards still what was written?"""

import time
from pathlib import Path

from pydantic import Field

from dataengine import progress
from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.machine import num_cores
from dataengine.report import Report
from dataengine.shards.damage import find_damage, find_discord, list_shards
from dataengine.storage import is_uri

MOST_LISTED = 30
"""Lines on damaged files; a folder may have thousands."""


class VerifyShardsConfig(Config):
    """Which shards to read."""

    shards: str
    """Folder that `villa shard` wrote, on a disk."""
    threads: int = Field(0, ge=0, le=1024)
    """Shards read at once; 0 takes one for each processor."""


class VerifyShardsReport(Report):
    """What was found."""

    ok: bool
    """False when a file is damaged."""
    folder: str
    shards: int
    bytes: int
    damaged: dict[str, str]
    """What is wrong with each file that is not as it was written, by its name."""
    seconds: float

    def summary(self) -> str:
        """Say it in a line, and in one more for each damaged file."""
        read = f"{self.shards} shards, {self.bytes / 1e9:.2f} GB ({self.seconds:.1f} s)"
        if not self.damaged:
            return f"{self.folder}: whole, {read}"
        lines = [f"{name}: {what}" for name, what in list(self.damaged.items())[:MOST_LISTED]]
        if len(self.damaged) > MOST_LISTED:
            lines.append(f"and {len(self.damaged) - MOST_LISTED} more, which --json lists")
        files = f"{len(self.damaged)} damaged file{'s' if len(self.damaged) > 1 else ''}"
        head = f"{self.folder}: {files} among {read}; copy them again, or delete the folder and run `villa shard`"
        return "\n  ".join([head, *lines])


def run(config: VerifyShardsConfig) -> VerifyShardsReport:
    """Read every byte of every shard, whatever was found before; manifest and indexes are read, too."""
    start = time.monotonic()
    if is_uri(config.shards):
        raise DataEngineError(f"{config.shards}: shards are verified on a disk; copy the folder to one first")
    folder = Path(config.shards)
    entries, damaged = list_shards(folder)
    num_bytes = sum(entry.num_bytes for entry in entries)
    with progress.task("verify", num_bytes, "bytes") as live:
        damaged |= find_damage(folder, entries, config.threads or num_cores(), live.advance)
    damaged = damaged or find_discord(folder)
    return VerifyShardsReport(
        ok=not damaged,
        folder=config.shards,
        shards=len(entries),
        bytes=num_bytes,
        damaged=damaged,
        seconds=round(time.monotonic() - start, 3),
    )
