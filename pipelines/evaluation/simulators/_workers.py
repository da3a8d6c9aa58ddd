"""Spreads work over processes that may draw: each with one thread, none outliving its parent.

Fresh processes, never forks: a drawing context does not survive a fork, and tensorflow and Mesa's drawing crash in a
process that has both.
"""

import multiprocessing
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from dataengine.errors import DataEngineError
from dataengine.runners.processes import pool

J = TypeVar("J")
R = TypeVar("R")


class WorkerDiedError(DataEngineError):
    """A process ended in the middle of its job, and took with it those of the others."""


POLL_S = 0.5
"""How often jobs are asked how far they are."""
_counter: Any = None
"""Of a worker: what all of them count together."""


def count(number: int = 1) -> None:
    """Say from within a job that so much of it is done."""
    if _counter is not None:
        with _counter.get_lock():
            _counter.value += number


def run_jobs(
    function: Callable[[J], R],
    jobs: Sequence[J],
    processes: int,
    counted: Callable[[int], None] = lambda _number: None,
) -> Generator[tuple[int, R], None, None]:
    """Yield (index of the job, result) as jobs end; the first one that fails stops those not yet begun.

    `counted` is told, every half second, what jobs said by `count` since.
    """
    if not jobs:
        return
    with one_thread():
        counter, reported = multiprocessing.get_context("spawn").Value("q", 0), 0
        with pool(min(processes, len(jobs)), partial(_begin, counter)) as workers:
            futures = {workers.submit(function, job): index for index, job in enumerate(jobs)}
            try:
                waiting = set(futures)
                while waiting:
                    ended, waiting = wait(waiting, timeout=POLL_S, return_when=FIRST_COMPLETED)
                    now = counter.value
                    counted(now - reported)
                    reported = now
                    for future in ended:
                        yield futures[future], future.result()
            except BrokenProcessPool as error:
                raise WorkerDiedError(
                    "a worker process died (out of memory, or killed); what was finished is kept: run the command again"
                ) from error
            except BaseException:
                for future in futures:  # leaving the block shuts down a second time, which would take this back
                    future.cancel()
                # Not without waiting: the executor then forgets whom to wait for, and jobs that were begun go on.
                workers.shutdown(wait=True, cancel_futures=True)
                raise


@contextmanager
def one_thread() -> Iterator[None]:
    """Have processes that are started meanwhile use one thread each."""
    threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "LP_NUM_THREADS")}
    os.environ.update(dict.fromkeys(threads, "1"))  # inherited; set here because libraries read it when they load
    try:
        yield
    finally:
        for name, value in threads.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _begin(counter: Any) -> None:
    """Take the counter, and send what libraries print to stderr: stdout belongs to the command's report."""
    global _counter
    _counter = counter
    os.dup2(2, 1)
