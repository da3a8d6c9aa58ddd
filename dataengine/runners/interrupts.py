"""Ctrl-C reaches all processes of a terminal: only the driver may act on it, also while its workers still start."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType


@contextmanager
def starting_workers() -> Iterator[None]:
    """Start processes in the block that Ctrl-C does not reach, from their first instruction on.

    They inherit a mask that blocks it. Other threads of the driver may still take it, so its handler waits, too:
    half a start would leave a worker that complains. The driver hears what came meanwhile when the block ends.
    """
    resource_tracker.ensure_running()  # whoever starts it, as a worker would, unblocks Ctrl-C
    heard: list[tuple[int, FrameType | None]] = []
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda *seen: heard.append(seen)) if is_main else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if is_main:
            signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
            if heard and callable(handler):
                handler(*heard[0])


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the driver, in a worker; programs that it starts are not deaf to other signals."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
