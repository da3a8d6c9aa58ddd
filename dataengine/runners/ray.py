"""The Ray engine: each part is a task on the cluster. A task writes its fragments and returns only its receipt."""

import logging
import os
import pickle
import socket
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, WorkerCrashedError

from dataengine.episode import Part, Reject
from dataengine.errors import DataEngineError
from dataengine.protocols import PartReader
from dataengine.runners.attempts import Attempt, Attempts, Limits
from dataengine.runners.worker import Outcome, read_part
from dataengine.store.receipts import Receipt
from dataengine.store.staging import Staging

QUEUED_PER_CORE: Final = 2
"""Tasks handed to Ray ahead of time, so that no core waits for the driver."""

CONNECT_S: Final = 10.0

DEATHS: Final = (WorkerCrashedError, NodeDiedError, OutOfMemoryError)


def run(
    source: PartReader, parts: Sequence[Part], staging: Staging, limits: Limits, *, address: str | None = None
) -> Generator[Receipt | Reject]:
    """Stage parts as Ray tasks; yield each part's end as it comes.

    Ray itself retries nothing: a task that takes its process down is an attempt like any other, and attempts are
    counted here. Leaving the iterator early cancels what runs; what was staged keeps its receipts.
    """
    queue = Attempts(parts, limits)
    ours = not ray.is_initialized()
    if ours:
        _connect(address)
    read = ray.remote(max_retries=0, num_cpus=1)(_read)
    shared = ray.put(pickle.dumps((source, staging)))
    running: dict[ray.ObjectRef, Attempt] = {}
    try:
        while True:
            width = limits.workers or QUEUED_PER_CORE * max(int(ray.cluster_resources().get("CPU", 1)), 1)
            while queue and len(running) < width:
                attempt = queue.next()
                running[read.remote(shared, sys.path, attempt, limits.stall_s)] = attempt
            if not running:
                return
            for done in ray.wait(list(running))[0]:
                attempt = running.pop(done)
                end = _settle(queue, attempt, done)
                if end is not None:
                    yield end
    finally:
        for task in running:
            ray.cancel(task, force=True)
        if ours:
            ray.shutdown()


@contextmanager
def local_cluster() -> Iterator[str]:
    """Start a cluster in this machine for several commands to join, and give its address."""
    try:
        yield _connect(None)
    finally:
        ray.shutdown()


def _connect(address: str | None) -> str:
    """Join a cluster, or start one in this machine, without its banner, dashboard and log stream; give its address."""
    named = address or os.environ.get("RAY_ADDRESS")
    try:
        host, colon, port = (named or "").removeprefix("ray://").rpartition(":")
        if colon:  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
        with warnings.catch_warnings():
            # Ray forks only to start its own programs, which is no danger to Lance.
            warnings.filterwarnings("ignore", message="lance is not fork-safe")
            # Without "local" Ray would join whatever cluster was last started on this machine.
            place = {"address": named} if named else {"address": "local", "include_dashboard": False}
            context = ray.init(**place, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        where = f"cannot reach the Ray cluster at '{named}'" if named else "cannot start Ray in this machine"
        raise DataEngineError(f"{where}: {error}; --engine local needs none") from error
    return context.address_info["address"]


def _settle(queue: Attempts, attempt: Attempt, done: ray.ObjectRef) -> Receipt | Reject | None:
    """Take what became of a task."""
    try:
        outcome: Outcome = ray.get(done)
    except DEATHS:
        return queue.died(attempt)
    except RayError as error:  # the cluster's own trouble: a worker without our code, a lost object store
        reason = str(error).strip().splitlines()[-1]
        raise DataEngineError(f"ray could not read part {attempt.part.name}: {reason}") from error
    return queue.settle(attempt, outcome)


def _read(shared: bytes, search: Sequence[str], attempt: Attempt, stall_s: float) -> Outcome:
    """Run in a worker of the cluster, which imports a source from wherever the driver did."""
    sys.path.extend(place for place in search if place not in sys.path)
    source, staging = pickle.loads(shared)
    return read_part(source, attempt.part, staging, attempt.number, stall_s)
