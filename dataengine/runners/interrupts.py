"""Ctrl-C reaches all processes of a terminal: only the driver may act on it, also while its workers still start."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def starting_workers() -> Iterator[None]:
    """Start processes in the block that Ctrl-C does not reach, from their first instruction on.

    They inherit a mask that blocks it; the driver hears what came meanwhile when the block ends.
    """
    resource_tracker.ensure_running()  # whoever starts it, as a worker would, unblocks Ctrl-C
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the driver, in a worker; programs that it starts are not deaf to other signals."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
