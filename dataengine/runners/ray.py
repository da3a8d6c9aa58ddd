"""The Ray engine: each part is a task on the cluster. A task writes its fragments and returns only its receipt.

What needs something dear at hand, a model on a GPU, goes to a pool of actors instead.
"""

import logging
import os
import pickle
import sys
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")  # it prints its stack and aborts; asked at import

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    WorkerCrashedError,
)

from dataengine.episode import Reject
from dataengine.errors import DataEngineError
from dataengine.protocols import PartReader
from dataengine.runners.attempts import Assigned, Attempt, Attempts, Limits
from dataengine.runners.interrupts import starting_servers
from dataengine.runners.ray_address import host_of, is_here, reach
from dataengine.runners.worker import Outcome, read_part
from dataengine.store.commit.receipts import Receipt
from dataengine.store.commit.staging import Staging

T = TypeVar("T")
R = TypeVar("R")

QUEUED_PER_CORE: Final = 2
"""Tasks handed to Ray ahead of time, so that no core waits for the driver."""

NO_CLUSTER: Final = "00" * 28
"""An identity that no Ray cluster has."""

DEATHS: Final = (WorkerCrashedError, NodeDiedError, OutOfMemoryError)
ACTOR_DEATHS: Final = (RayActorError, ObjectLostError, *DEATHS)
"""A result lies in its node's memory, and is lost with it, until it was fetched."""


def run(
    readers: Sequence[PartReader],
    parts: Sequence[Assigned],
    staging: Staging,
    limits: Limits,
    *,
    address: str | None = None,
) -> Generator[Receipt | Reject]:
    """Stage parts, each by its own reader, as Ray tasks; yield each part's end as it comes.

    Ray itself retries nothing: a task that takes its process down is an attempt like any other, and attempts are
    counted here. Leaving the iterator early cancels what runs; what was staged keeps its receipts.
    """
    queue = Attempts(parts, limits)
    ours = not ray.is_initialized()
    if ours:
        _connect(address)
    read = ray.remote(max_retries=0, num_cpus=1)(_read)
    shared = ray.put(pickle.dumps((readers, staging)))
    running: dict[ray.ObjectRef, Attempt] = {}
    try:
        while True:
            width = limits.workers or QUEUED_PER_CORE * max(int(ray.cluster_resources().get("CPU", 1)), 1)
            while queue and len(running) < width:
                attempt = queue.next()
                running[read.remote(shared, sys.path, attempt, limits.stall_s, limits.memory_gb)] = attempt
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


def run_actors(
    make: Callable[[], Callable[[T], R]],
    items: Sequence[T],
    *,
    workers: int = 0,
    gpus: bool = True,
    max_attempts: int = 3,
    address: str | None = None,
) -> Generator[tuple[T, R]]:
    """Yield each item with its result, as they come, from actors that call `make` once and keep what it gives.

    An actor gets a GPU of its own where the cluster has some and `gpus` allows it, else a core. One that dies or is out
    of reach, takes one attempt at one item with it and is replaced. Leaving the iterator early stops them all.
    """
    ours = not ray.is_initialized()
    if ours:
        _connect(address)
    has = ray.cluster_resources()
    needs = {"num_gpus": 1} if gpus and has.get("GPU", 0) >= 1 else {"num_cpus": 1}
    count = min(workers or int(has.get("GPU" if "num_gpus" in needs else "CPU", 1)), len(items))
    recipe = ray.put(pickle.dumps(make))

    def hire() -> Any:
        return ray.remote(max_restarts=0, **needs)(_Actor).remote(sys.path, recipe)

    waiting, idle = deque((item, 1) for item in items), [hire() for _ in range(count)]
    running: dict[ray.ObjectRef, tuple[T, int, Any]] = {}
    try:
        while waiting or running:
            while waiting and idle:
                (item, attempt), actor = waiting.popleft(), idle.pop()
                running[actor.work.remote(pickle.dumps(item))] = (item, attempt, actor)
            for done in ray.wait(list(running))[0]:
                item, attempt, actor = running.pop(done)
                try:
                    result = ray.get(done)
                except ACTOR_DEATHS as error:
                    ray.kill(actor)  # one that is only out of reach would keep its GPU until its work is done
                    if attempt == max_attempts:
                        raise DataEngineError(
                            f"ray: an actor died, {attempt} times over the same work: {_last(error)}"
                        ) from error
                    waiting.append((item, attempt + 1))
                    idle.append(hire())
                    continue
                except RayError as error:
                    ray.kill(actor)
                    raise DataEngineError(f"ray: {_last(error)}") from error
                idle.append(actor)
                yield item, result
    finally:
        for actor in [*idle, *(actor for _, _, actor in running.values())]:
            ray.kill(actor)
        if ours:
            ray.shutdown()


class _Actor:
    """Keeps what is dear to make: a model on a device."""

    def __init__(self, search: Sequence[str], recipe: bytes) -> None:
        sys.path.extend(path for path in search if path not in sys.path)
        self._work = pickle.loads(recipe)()

    def work(self, item: bytes) -> Any:
        return self._work(pickle.loads(item))


def _last(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1]


@contextmanager
def connected(address: str | None, otherwise: str, *, log_to_driver: bool = False) -> Iterator[None]:
    """Join a cluster, or start one in this machine, for as long as the block runs; use one that is joined already.

    Raise DataEngineError, which ends with `otherwise`, where there is none.
    """
    ours = not ray.is_initialized()
    if ours:
        _connect(address, otherwise, log_to_driver=log_to_driver)
    try:
        yield
    finally:
        if ours:
            ray.shutdown()


@contextmanager
def local_cluster() -> Iterator[str]:
    """Start a cluster in this machine for several commands to join, and give its address."""
    try:
        yield _connect(None)
    finally:
        ray.shutdown()


def _connect(address: str | None, otherwise: str = "--engine local needs none", *, log_to_driver: bool = False) -> str:
    """Join a cluster, or start one in this machine, without its banner, dashboard and log stream; give its address."""
    named = address or os.environ.get("RAY_ADDRESS")
    try:
        if named:
            reach(named)
            _show_token(named)
        with warnings.catch_warnings():
            # Ray forks only to start its own programs, which is no danger to Lance.
            warnings.filterwarnings("ignore", message="lance is not fork-safe")
            # Without "local" Ray would join whatever cluster was last started on this machine.
            cluster = {"address": named} if named else {"address": "local", "include_dashboard": False}
            with starting_servers(), _explained(named):
                context = ray.init(**cluster, log_to_driver=log_to_driver, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        where = f"cannot reach the Ray cluster at '{named}'" if named else "cannot start Ray in this machine"
        raise DataEngineError(f"{where}: {error}; {otherwise}") from error
    return context.address_info["address"]


@contextmanager
def _explained(named: str | None) -> Iterator[None]:
    """Say what a cluster that answers may have been missing."""
    try:
        yield
    except ConnectionError as error:
        if named and "RAY_AUTH_MODE" not in os.environ:
            raise ConnectionError(f"{error}; if it asks for a token, set RAY_AUTH_MODE=token") from error
        raise


def _show_token(address: str) -> None:
    """Show a cluster of this machine the token that Ray keeps for such clusters, if there is one.

    `ray start` asks for it once there is one, which `ray.init` without an address makes; where it is given an address,
    Ray shows it only if RAY_AUTH_MODE says so, and else fails after half a minute. Who shows a token also asks for it,
    so a cluster that has none, as it is older than the token, would take its driver for dead, and end all actors.
    """
    host = host_of(address)
    if host and is_here(host) and not _is_open(address):
        with suppress(ImportError):  # Ray before 2.52 knows no tokens, and no name of these is public
            from ray._private.authentication.authentication_token_setup import (
                maybe_enable_token_auth_if_token_available,
            )

            logging.getLogger("ray").setLevel(logging.ERROR)  # as ray.init will
            maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _is_open(address: str) -> bool:
    """Tell whether a cluster answers those who show no token: it then goes on to whether they know its name."""
    with suppress(ImportError):
        from ray._raylet import GcsClient  # type: ignore[attr-defined]

        try:
            GcsClient(address=address, cluster_id=NO_CLUSTER).internal_kv_get(b"", b"", timeout=5)
        except (RayError, RuntimeError, ValueError) as error:
            return "WrongClusterID" in str(error)
    return False


def _settle(queue: Attempts, attempt: Attempt, done: ray.ObjectRef) -> Receipt | Reject | None:
    """Take what became of a task."""
    try:
        outcome: Outcome = ray.get(done)
    except DEATHS:
        return queue.died(attempt)
    except RayError as error:  # the cluster's own trouble: a worker without our code, a lost object store
        raise DataEngineError(f"ray could not read part {attempt.part.name}: {_last(error)}") from error
    return queue.settle(attempt, outcome)


def _read(shared: bytes, search: Sequence[str], attempt: Attempt, stall_s: float, memory_gb: float) -> Outcome:
    """Run in a worker of the cluster, which imports a source from wherever the driver did."""
    sys.path.extend(path for path in search if path not in sys.path)
    readers, staging = pickle.loads(shared)
    return read_part(readers[attempt.reader], attempt.part, staging, attempt.number, stall_s, memory_gb)
