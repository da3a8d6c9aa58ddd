"""Spreads work over processes that may draw: each with one thread, none outliving its parent.

Fresh processes, never forks: a drawing context does not survive a fork, and tensorflow and Mesa's drawing crash in a
process that has both.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from dataengine.errors import DataEngineError
from dataengine.runners.processes import pool

J = TypeVar("J")
R = TypeVar("R")


def run_jobs(function: Callable[[J], R], jobs: Sequence[J], processes: int) -> Iterator[tuple[int, R]]:
    """Yield (index of the job, result) as jobs end; the first one that fails stops those not yet begun."""
    if not jobs:
        return
    threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "LP_NUM_THREADS")}
    os.environ.update(dict.fromkeys(threads, "1"))  # inherited; set here because libraries read it when they load
    try:
        with pool(min(processes, len(jobs)), _keep_stdout_clean) as workers:
            futures = {workers.submit(function, job): index for index, job in enumerate(jobs)}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BrokenProcessPool as error:
                raise DataEngineError(
                    "a worker process died (out of memory, or killed); what was finished is kept: run the command again"
                ) from error
            except BaseException:
                workers.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        for name, value in threads.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _keep_stdout_clean() -> None:
    """Send what libraries print to stderr: stdout belongs to the command's report."""
    os.dup2(2, 1)
