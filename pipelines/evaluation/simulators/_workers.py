"""Spreads work over processes that may draw: each with one thread, none outliving its parent.

Fresh processes, never forks: a drawing context does not survive a fork, and tensorflow and Mesa's drawing crash in a
process that has both.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from dataengine.errors import DataEngineError

J = TypeVar("J")
R = TypeVar("R")

PR_SET_PDEATHSIG = 1


def run_jobs(function: Callable[[J], R], jobs: Sequence[J], processes: int) -> Iterator[tuple[int, R]]:
    """Yield (index of the job, result) as jobs end; the first one that fails stops those not yet begun."""
    if not jobs:
        return
    threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "LP_NUM_THREADS")}
    os.environ.update(dict.fromkeys(threads, "1"))  # inherited; set here because libraries read it when they load
    try:
        with ProcessPoolExecutor(
            max_workers=min(processes, len(jobs)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(os.getpid(),),
        ) as pool:
            futures = {pool.submit(function, job): index for index, job in enumerate(jobs)}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BrokenProcessPool as error:
                raise DataEngineError(
                    "a worker process died (out of memory, or killed); what was finished is kept: run the command again"
                ) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        for name, value in threads.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _begin(parent: int) -> None:
    """Keep stdout clean, and ask Linux to kill this worker with its parent: it would wait for work for ever."""
    os.dup2(2, 1)  # stdout belongs to the command's report; libraries print there
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
