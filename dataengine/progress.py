"""Live progress on stderr with rate and time to go: a bar on a terminal, a line now and then in a log."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LOG_EVERY_S = 10.0


def is_main_process() -> bool:
    """Tell whether this process is alone or the first of those that torchrun started: one is to talk to people."""
    return os.environ.get("RANK", "0") == "0"


class ProgressBar:
    """One bar; `advance` is cheap and safe to call from threads."""

    def __init__(self, title: str, total: int | None, unit: str, done: int = 0) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self._before = done
        self.note = ""
        self._start = self._last_log = time.monotonic()
        self._bar: tuple[Progress, TaskID] | None = None

    @property
    def rate(self) -> float:
        """Units in a second since the start."""
        return (self.done - self._before) / max(time.monotonic() - self._start, 1e-9)

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count finished units; `note` is a short live figure (a loss, a name)."""
        self.done += count
        self.note = note or self.note
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, completed=self.done, rate=self.rate, note=self.note)
        elif is_main_process() and time.monotonic() - self._last_log >= LOG_EVERY_S:
            self._last_log = time.monotonic()
            of = "" if self.total is None else f"/{self.total}"
            left = ""
            if self.total is not None and self.done > self._before:
                left = f", {(self.total - self.done) / max(self.rate, 1e-9):.0f} s left"
            line = f"{self.title}: {self.done}{of} {self.unit}, {self.rate:.2f}/s{left}"
            print(f"{line}  {self.note}", file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def task(title: str, total: int | None, unit: str, done: int = 0) -> Iterator[ProgressBar]:
    """Show progress over `total` units, `done` of which earlier calls did, for as long as the block runs.

    The total is None where nobody knows how many come.
    """
    live = ProgressBar(title, total, unit, done)
    if not sys.stderr.isatty() or not is_main_process():
        yield live
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}  {task.fields[rate]:.1f}/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        live._bar = (bar, bar.add_task(title, total=total, completed=done, unit=unit, rate=0.0, note=""))
        yield live
