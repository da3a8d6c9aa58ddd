"""Settings of every test process."""

import gc
import logging
import os
import signal
from collections.abc import Iterator

import pytest

# Workers run side by side, and many tests start processes of their own: more threads than cores make torch crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell that begins the tests in the background has them ignore Ctrl-C, which all that they start would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files that hold slow tests first: at the end none of them keeps one worker busy while the others are idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow") and not item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Leave what imports made, a million objects that stay, out of every later search for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def warm_workers() -> Iterator[None]:
    """Fork worker processes from one that has imported all they need."""
    from tests.support import warm

    with warm.patched():
        yield


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """Start a cluster for all tests of a module: each of its own would cost them six seconds."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


@pytest.fixture
def inline(monkeypatch):
    """Let an ingest read its parts in this process: what is tested is not how processes die."""
    from dataengine.runners import local
    from dataengine.runners.attempts import Attempts
    from dataengine.runners.worker import read_part

    def read(readers, parts, staging, limits):
        queue = Attempts(parts, limits)
        while queue:
            attempt = queue.next()
            reader = readers[attempt.reader]
            end = queue.settle(attempt, read_part(reader, attempt.part, staging, attempt.number, limits.stall_s))
            if end is not None:
                yield end

    monkeypatch.setattr(local, "run", read)
