"""Metrics at rest: a JSON line for each entry, and the same figures for whoever else reads them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.training.json_lines import cut_after
from pipelines.training.loggers.logger import LoggerName, Pictures
from pipelines.training.loggers.opening import open_logger


class Metrics:
    """Appends to `metrics.jsonl` of a run and to its loggers; a resumed run drops what lies after its step."""

    def __init__(self, directory: Path, step: int, settings: Mapping[str, Any], loggers: Sequence[LoggerName]) -> None:
        """Go on after a step."""
        self.path = directory / "metrics.jsonl"
        cut_after(self.path, step)
        self._lines = self.path.open("a", encoding="utf-8")
        self._loggers = [open_logger(name, directory, step, settings) for name in loggers]

    def earlier(self) -> Iterator[dict[str, Any]]:
        """Give the entries of training that are there, oldest first."""
        for line in self.path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if "loss" in entry:
                yield entry

    def write(
        self, step: int, figures: Mapping[str, float], notes: Sequence[str] = (), pictures: Pictures | None = None
    ) -> None:
        """Append the figures of one step, what was said of them, and pictures by name."""
        self._lines.write(json.dumps({"step": step, **figures, **({"notes": notes} if notes else {})}) + "\n")
        self._lines.flush()
        for logger in self._loggers:
            logger.write(step, figures, notes, pictures or {})

    def close(self) -> None:
        """Close everything; of a run that never came to an entry no file is left."""
        self._lines.close()
        for logger in self._loggers:
            logger.close()
        if self.path.stat().st_size == 0:
            self.path.unlink()
