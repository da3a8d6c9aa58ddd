"""A signal may reach all processes of a group: only the driver acts on it, also while its workers still start."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any


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


@contextmanager
def starting_servers() -> Iterator[None]:
    """Start Ray in the block so that SIGTERM, whenever it comes, is heard by the driver, as it was before, and alone.

    Ray's own handler drains the node for half a minute and ends with another exit code. Its servers must not get what
    is sent to our process group: without them the start, and the end, hang for as long.
    """
    take = signal.signal

    def refuse(number: int, handler: Any) -> Any:
        return signal.getsignal(number) if number == signal.SIGTERM else take(number, handler)

    signal.signal = refuse  # type: ignore[assignment]  # Ray asks nobody whether it may
    _servers_start.set()
    try:
        yield
    finally:
        _servers_start.clear()
        signal.signal = take


_servers_start = threading.Event()


def _leave_group() -> None:
    if _servers_start.is_set():
        os.setsid()


os.register_at_fork(after_in_child=_leave_group)
