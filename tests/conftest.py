"""Settings of every test process."""

import os

import pytest

# Workers run side by side, and many tests start processes of their own: more threads than cores make torch crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")


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
