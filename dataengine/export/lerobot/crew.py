"""Processes that write files side by side: their progress comes as it is made, and they leave with the driver."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar, cast

from dataengine.errors import DataEngineError
from dataengine.runners import processes
from dataengine.runners.processes import Child

T = TypeVar("T")
Work = Callable[[T, Callable[[int], None]], None]
"""Does one task and tells of steps as they are done."""


def run(start: Callable[[], Work[T]], tasks: Sequence[T], workers: int) -> Iterator[int]:
    """Do tasks in `workers` processes; yield the steps that were done as they are told of.

    `start` makes in each process what does the work. The first failure stops all and is raised.
    """
    rest = list(reversed(tasks))
    crew: dict[Connection, Child] = {}
    busy: set[Connection] = set()
    try:
        for _ in range(min(workers, len(tasks))):
            child = processes.start(_serve, start)
            crew[child.pipe] = child
            child.pipe.send(rest.pop())
            busy.add(child.pipe)
        while busy:
            for pipe in cast(list[Connection], wait(list(busy))):
                try:
                    what, value = pipe.recv()
                except (EOFError, ConnectionResetError) as error:
                    crew[pipe].process.join()
                    code = crew[pipe].process.exitcode
                    raise DataEngineError(
                        f"a writing process died (exit code {code}); the same command continues"
                    ) from error
                if what == "steps":
                    yield value
                elif what == "failed":
                    raise value
                elif rest:
                    pipe.send(rest.pop())
                else:
                    busy.discard(pipe)
    finally:
        for child in crew.values():
            child.stop()


def _serve(pipe: Connection, start: Callable[[], Work[Any]]) -> None:
    """Do tasks until the driver goes away."""
    work = None
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            task = pipe.recv()
            try:
                work = work or start()
                work(task, lambda steps: pipe.send(("steps", steps)))
            except BrokenPipeError:
                raise
            except Exception as error:
                pipe.send(("failed", _portable(error)))
                return
            pipe.send(("done", None))


def _portable(error: Exception) -> Exception:
    """Make sure that an error survives the way: some of other libraries do not unpickle."""
    if isinstance(error, DataEngineError):
        return DataEngineError(str(error))
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, os.strerror(error.errno), error.filename)
    return DataEngineError(f"{type(error).__name__}: {' '.join(str(error).split())}")
