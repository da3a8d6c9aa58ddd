"""Ctrl-C and a scheduler's SIGTERM ask a run to stop; it stops where it can go on."""

import contextlib
import signal
from typing import Any, ClassVar


class Interrupts:
    """Remembers a first SIGINT or SIGTERM, so that the step can end; a second one acts at once."""

    _open: ClassVar[list["Interrupts"]] = []

    def __init__(self) -> None:
        self.seen: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # handlers belong to the main thread; elsewhere its own apply
                self._before[number] = signal.signal(number, self._note)
        self._open.append(self)
        return self

    def _note(self, number: int, frame: object) -> None:
        self.seen = number
        self._restore()

    def __exit__(self, *_: object) -> None:
        self._open.remove(self)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @classmethod
    def are_heeded(cls) -> bool:
        """Tell whether a run of this process takes steps, and so heeds what it is asked."""
        return bool(cls._open)

    @classmethod
    def ask(cls, number: int) -> None:
        """Ask the runs of this process to stop, from any thread, as the signal would that reached another machine."""
        for run in list(cls._open):
            run.seen = run.seen or number
