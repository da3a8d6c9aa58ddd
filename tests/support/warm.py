"""Worker processes of tests, forked from one that has imported all of it: starting afresh costs more than their work.

They are those that `dataengine.runners.processes` starts. They see what a fresh process sees: environment, output and
arguments of now, and no state of the tests. So do a `Command` and a `Program`. Tests of the start itself start
processes afresh.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import context, forkserver, reduction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from dataengine.runners import processes
from tests.support.forked import ROOT, serve


class WarmProcess(context.ForkServerProcess):
    """A process that begins as one that is started afresh at this moment would."""

    @staticmethod
    def _Popen(process: "WarmProcess") -> Any:
        serve()
        return context.ForkServerProcess._Popen(process)

    streams = (1, 2)
    """What becomes its stdout and stderr."""
    environment: Mapping[str, str] = os.environ

    def __getstate__(self) -> dict[str, Any]:
        streams = [reduction.DupFd(number) for number in self.streams]
        return {**self.__dict__, "environment": dict(self.environment), "streams": streams}

    def run(self) -> None:
        os.environ.clear()
        os.environ.update(self.environment)
        for number, stream in enumerate(self.streams, start=1):
            given = stream.detach()
            os.dup2(given, number)
            os.close(given)
        sys.stdout = os.fdopen(1, "w", closefd=False)  # the server's own think that they write to a file
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        processes.die_with = lambda _: None  # its parent is the server, which ends with the tests
        forkserver._forkserver.ensure_running = lambda: None  # it forks for this one, too
        with patched():
            super().run()


class WarmContext(context.ForkServerContext):
    Process = WarmProcess


def get_context(_method: str) -> WarmContext:
    return WarmContext()


def patched() -> Any:
    """Start workers so until the block ends."""
    return mock.patch.object(processes, "mp", SimpleNamespace(get_context=get_context))


class Running:
    """A call in a process of its own, with what tests ask of a `subprocess.Popen` with pipes."""

    def __init__(self, target: Callable[..., None], args: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self.args = list(args)
        ours, theirs = zip(*(os.pipe() for _ in range(2)), strict=True)
        self.stdout, self.stderr = (os.fdopen(end, encoding="utf-8", errors="replace") for end in ours)
        self._process = WarmProcess(target=target, args=(self.args, cwd))
        self._process.streams, self._process.environment = theirs, env
        self._process.start()
        for end in theirs:
            os.close(end)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def ended(self, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Wait for its end, and keep what it says."""
        with self.stdout, self.stderr, ThreadPoolExecutor(2) as readers:
            said = [readers.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                code = self.wait(timeout)
            finally:
                self.kill()
            return subprocess.CompletedProcess(self.args, code, *(text.result() for text in said))


class Command(Running):
    """`villa ARGV`; not for one that is killed while it has processes, which would not die with it."""

    def __init__(self, *argv: object, env: Mapping[str, str] = os.environ, cwd: Path = ROOT) -> None:
        super().__init__(_villa, [*map(str, argv)], env, cwd)


class Program(Running):
    """`python -c TEXT ARGV`."""

    def __init__(self, text: str, *argv: object) -> None:
        super().__init__(_execute, [text, *map(str, argv)], os.environ, ROOT)


def run(*argv: object, timeout: float = 300, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run `villa ARGV` in a process of its own."""
    return Command(*argv, cwd=cwd).ended(timeout)


def command(*argv: str) -> None:
    """Be `villa ARGV`, in a process that is there for it."""
    _villa([*argv], ROOT)


def _villa(argv: list[str], cwd: Path) -> None:
    from cli.app import main
    from pipelines.workflow import children

    sys.argv = ["villa", *argv]
    os.chdir(cwd)
    with mock.patch.object(children, "subprocess", SimpleNamespace(PIPE=subprocess.PIPE, Popen=_stage)):
        main()


def _stage(line: list[str], env: Mapping[str, str], **settings: Any) -> Any:
    """Start a stage of a pipeline."""
    module, *argv = line[line.index("-m") + 1 :]
    return Command(*argv, env=env) if module == "cli" else subprocess.Popen(line, env=env, **settings)


def _execute(line: list[str], cwd: Path) -> None:
    text, *argv = line
    sys.argv = ["-c", *argv]
    os.chdir(cwd)
    exec(text, {"__name__": "__main__"})
