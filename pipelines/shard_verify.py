"""`villa shard FOLDER --verify`: are the shards still what was written?"""

import os
import time

from pydantic import Field

from dataengine import progress
from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.report import Report
from dataengine.shards import ShardReader


class VerifyShardsConfig(Config):
    """Which shards to read."""

    shards: str
    """Folder that `villa shard` wrote, on a disk."""
    threads: int = Field(0, ge=0, le=1024)
    """Shards read at once; 0 takes one for each processor."""


class VerifyShardsReport(Report):
    """What was found."""

    ok: bool
    """False when a shard is damaged."""
    folder: str
    shards: int
    bytes: int
    damaged: list[str]
    """Names of shards whose bytes are not those that were written."""
    seconds: float

    def summary(self) -> str:
        """Say it in a line."""
        read = f"{self.shards} shards, {self.bytes / 1e9:.2f} GB ({self.seconds:.1f} s)"
        if not self.damaged:
            return f"{self.folder}: whole, {read}"
        some = ", ".join(self.damaged[:10]) + (" ..." if len(self.damaged) > 10 else "")
        return f"{self.folder}: {len(self.damaged)} of {read} damaged: {some}; copy these again, or delete the folder"


def run(config: VerifyShardsConfig) -> VerifyShardsReport:
    """Read every byte of every shard, whatever was found before; manifest and indexes are read, too."""
    start = time.monotonic()
    if "://" in config.shards:
        raise DataEngineError(f"{config.shards}: shards are verified on a disk; copy the folder to one first")
    reader = ShardReader(config.shards)
    num_shards, num_bytes = len(reader.manifest["shards"]), reader.manifest["num_bytes"]
    with progress.task("verify", num_bytes, "bytes") as live:
        damaged = reader.verify(config.threads or os.cpu_count() or 1, live.advance)
    return VerifyShardsReport(
        ok=not damaged,
        folder=config.shards,
        shards=num_shards,
        bytes=num_bytes,
        damaged=damaged,
        seconds=round(time.monotonic() - start, 3),
    )
