"""The demo's first stage: scripted experts play, and what they did is written in publishers' layouts."""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from dataengine.config import Config
from dataengine.report import Report
from pipelines.demo.summary import Recorded


class RecordConfig(Config):
    """How much is recorded, and where to."""

    out: Path
    scale: Literal["demo", "quick"] = "demo"


class RecordReport(Report):
    """What was recorded."""

    recorded: list[Recorded]


def run(config: RecordConfig) -> RecordReport:
    """Record what is not there yet."""
    from pipelines.evaluation.recording.record import record

    rows = record(config.out, config.scale)
    return RecordReport(recorded=[Recorded(**asdict(row)) for row in rows])
