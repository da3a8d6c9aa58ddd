"""Tells which start a simulator is at, even when its process dies of it, and ends a process that hangs in one.

A file per process holds the seed while the simulator works, or that it is being set up. One that takes too long in C,
without a word, is ended by Python's fault handler, which writes into the file where it was.
"""

import faulthandler
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LETTERS = 24
"""Of the line with the seed."""
SET_UP = "set up"
"""Stands in the place of a seed."""
SUFFIX = ".now"


@dataclass(frozen=True)
class AtWork:
    """What a process that died was at."""

    seed: int | None
    """Start of the episode; None where a simulator was being set up."""
    hung: bool
    """Whether it was ended because the simulator did not answer."""


class Watch:
    """Watches over the simulators of one process."""

    def __init__(self, stem: Path, timeout_s: float) -> None:
        """Keep the file `stem.PID.now`; a call may take `timeout_s`."""
        self._path = stem.with_name(f"{stem.name}.{os.getpid()}{SUFFIX}")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._timeout_s = timeout_s
        self._file = self._path.open("wb+", buffering=0)

    @contextmanager
    def over(self, seed: int | None) -> Iterator[None]:
        """Watch over what a simulator does for the episode of this seed, or while it is set up (None)."""
        os.pwrite(self._file.fileno(), f"{SET_UP if seed is None else seed:<{LETTERS}}".encode(), 0)
        self._file.seek(LETTERS)
        faulthandler.dump_traceback_later(self._timeout_s, exit=True, file=self._file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            os.pwrite(self._file.fileno(), b" " * LETTERS, 0)

    def close(self) -> None:
        """Remove the file: the process lives."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def left_at_work(stem: Path) -> list[AtWork]:
    """Say what dead processes were at, and forget it."""
    left = []
    for path in sorted(stem.parent.glob(f"{stem.name}.*{SUFFIX}")):
        data = path.read_bytes()
        name = data[:LETTERS].decode("ascii", "replace").strip()
        if name == SET_UP or name.isdecimal():  # and not what a disk made of it
            left.append(AtWork(None if name == SET_UP else int(name), b"Timeout" in data[LETTERS:]))
        path.unlink()
    return left
