"""Processes started by this one: afresh, for Lance and drawing do not survive a fork, and none outlives it."""

import ctypes
import multiprocessing as mp
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from dataengine.runners.interrupts import ignore_interrupts, starting_workers

PR_SET_PDEATHSIG: Final = 1


@dataclass(eq=False)
class Child:
    """A process that serves at the other end of a pipe."""

    process: SpawnProcess
    pipe: Connection

    def stop(self) -> None:
        """Kill it, whatever it is at."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def start(serve: Callable[..., None], *arguments: Any) -> Child:
    """Start a process that calls `serve(pipe, *arguments)`; Ctrl-C does not reach it."""
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(os.getpid(), serve, theirs, arguments), daemon=True)
    try:
        with starting_workers():
            process.start()
    except BaseException:  # Ctrl-C that came meanwhile: nobody else knows of this one yet
        if process.pid is not None:
            process.kill()
        raise
    theirs.close()
    return Child(process, ours)


def _serve(parent: int, serve: Callable[..., None], pipe: Connection, arguments: tuple[Any, ...]) -> None:
    ignore_interrupts()
    die_with(parent)
    serve(pipe, *arguments)


def pool(workers: int, begin: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    """Make a pool of processes, each of which calls `begin` before all else."""
    return ProcessPoolExecutor(workers, mp.get_context("spawn"), _begin, (os.getpid(), begin))


def _begin(parent: int, begin: Callable[[], None] | None) -> None:
    die_with(parent)
    if begin is not None:
        begin()


def die_with(parent: int) -> None:
    """Leave no child behind when its parent is killed: ask Linux, and look whether it is too late to ask."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
