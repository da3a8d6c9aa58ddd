"""The local engine: processes of this machine, started afresh, for Lance does not survive a fork."""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import cast

from dataengine.episode import Reject
from dataengine.guard import share_gb
from dataengine.machine import num_cores
from dataengine.protocols import PartReader
from dataengine.runners.attempts import Assigned, Attempt, Attempts, Limits
from dataengine.runners.processes import Child, start
from dataengine.runners.worker import read_part
from dataengine.store.commit.receipts import Receipt
from dataengine.store.commit.staging import Staging


def run(
    readers: Sequence[PartReader],
    parts: Sequence[Assigned],
    staging: Staging,
    limits: Limits,
) -> Generator[Receipt | Reject]:
    """Stage parts, each by its own reader, in `limits.workers` processes; yield each part's end as it comes.

    A worker that dies takes one attempt at one part with it and is replaced. Leaving the iterator early stops all
    workers; what they had staged keeps its receipts.
    """
    queue = Attempts(parts, limits)
    count = min(limits.workers or num_cores(), len(queue))
    bounds = (limits.stall_s, limits.memory_gb or share_gb(count))
    crew: list[_Worker] = []
    try:
        crew.extend(_start(readers, staging, bounds) for _ in range(count))
        while True:
            for worker in crew:
                if worker.attempt is None and queue:
                    worker.give(queue.next())
            busy = {worker.child.pipe: (worker, worker.attempt) for worker in crew if worker.attempt is not None}
            if not busy:
                return
            for pipe in wait(list(busy)):
                worker, attempt = busy[cast(Connection, pipe)]
                worker.attempt = None
                try:
                    end = queue.settle(attempt, worker.child.pipe.recv())
                except (EOFError, ConnectionResetError):
                    worker.child.stop()
                    crew[crew.index(worker)] = _start(readers, staging, bounds)
                    end = queue.died(attempt)
                if end is not None:
                    yield end
    finally:
        for worker in crew:
            worker.child.stop()


@dataclass(eq=False)
class _Worker:
    """A child process, and the attempt that it is at."""

    child: Child
    attempt: Attempt | None = None

    def give(self, attempt: Attempt) -> None:
        self.attempt = attempt
        with contextlib.suppress(BrokenPipeError):  # it died while idle: the next look at its pipe notices
            self.child.pipe.send(attempt)


def _start(readers: Sequence[PartReader], staging: Staging, bounds: tuple[float, float]) -> _Worker:
    return _Worker(start(_serve, readers, staging, bounds))


def _serve(pipe: Connection, readers: Sequence[PartReader], staging: Staging, bounds: tuple[float, float]) -> None:
    """Read parts until the driver goes away."""
    while True:
        try:
            attempt: Attempt = pipe.recv()
        except EOFError:
            return
        pipe.send(read_part(readers[attempt.reader], attempt.part, staging, attempt.number, *bounds))
