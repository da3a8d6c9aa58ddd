"""A command of one's own for tests of pipelines: writes what it read, with a suffix, and counts its calls."""

import time
from pathlib import Path

from pydantic import Field

from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.report import Report


class CopyConfig(Config):
    """What to copy."""

    source: str = ""
    """File to read; without one there is only the suffix."""
    out: str
    suffix: str = ""
    workers: int = Field(1, ge=1, le=8)
    wait_s: float = Field(0, ge=0, le=60)
    fails_at: str = ""
    """File; while it is there, the command fails."""


class CopyReport(Report):
    """What was written."""

    text: str


def run(config: CopyConfig) -> CopyReport:
    """Copy."""
    out = Path(config.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_suffix(".calls").open("a") as calls:
        calls.write("call\n")
    time.sleep(config.wait_s)
    if config.fails_at and Path(config.fails_at).exists():
        raise DataEngineError(f"{config.fails_at}: is there; remove it")
    text = (Path(config.source).read_text() if config.source else "") + config.suffix
    out.write_text(text)
    return CopyReport(text=text)
