"""Worker processes of tests, forked from one that has imported all of it: starting afresh costs more than their work.

They are those that `dataengine.runners.processes` starts. They see what a fresh process sees: environment, output and
arguments of now, and no state of the tests. Tests of the start itself run commands in processes of their own.
"""

import multiprocessing
import os
from multiprocessing import context, forkserver, reduction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from dataengine.runners import processes
from tests.support.forked import IMPORTED

ROOT = Path(__file__).parents[2]
# Nothing that draws, nor tensorflow: they bear no fork, and not each other.
WORKERS = ["dataengine.runners.worker", "pipelines.evaluation.playing", "tests.support.npz_source"]


class WarmProcess(context.ForkServerProcess):
    """A process that begins as one that is started afresh at this moment would."""

    @staticmethod
    def _Popen(process: "WarmProcess") -> Any:
        _server()
        return context.ForkServerProcess._Popen(process)

    def __getstate__(self) -> dict[str, Any]:
        streams = [reduction.DupFd(number) for number in (1, 2)]
        return {**self.__dict__, "_environment": dict(os.environ), "_streams": streams}

    def run(self) -> None:
        os.environ.clear()
        os.environ.update(self._environment)
        for number, stream in enumerate(self._streams, start=1):
            os.dup2(stream.detach(), number)
        processes.die_with = lambda _: None  # its parent is the server, which ends with the tests
        super().run()


class WarmContext(context.ForkServerContext):
    Process = WarmProcess


def _server() -> None:
    """Start what forks, unless it is there."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([*IMPORTED, *WORKERS])
    with mock.patch.dict(os.environ, PYTHONPATH=str(ROOT)):
        forkserver.ensure_running()


def get_context(_method: str) -> WarmContext:
    return WarmContext()


def patched() -> Any:
    """Start workers so until the block ends."""
    return mock.patch.object(processes, "mp", SimpleNamespace(get_context=get_context))
