"""Ctrl-C and a scheduler's SIGTERM ask a run to stop; it stops where it can go on."""

import contextlib
import signal
from typing import Any


class Interrupts:
    """Remembers a first SIGINT or SIGTERM, so that the step can end; a second one acts at once."""

    def __init__(self) -> None:
        self.seen: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # handlers belong to the main thread; elsewhere its own apply
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: object) -> None:
        self.seen = number
        self._restore()

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
