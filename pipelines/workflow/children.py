"""Runs `villa` commands as child processes, exactly as a user would type them."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError
from dataengine.runners.processes import die_with

INTERRUPTED = 130


@dataclass(frozen=True)
class VillaCommand:
    """One command line, its log file and the threads it may use."""

    arguments: Sequence[str]
    log: Path
    threads: int | None = None
    """Of its numerical libraries; None leaves that to them."""
    environment: Mapping[str, str] = field(default_factory=dict)
    module: str = "cli"
    """Module of ours that is run: the command line, or an act of somebody's own."""

    def __str__(self) -> str:
        """Print it as a user would type it."""
        program = ["villa"] if self.module == "cli" else ["python", "-m", self.module]
        return shlex.join([*program, *self.arguments])


class Child:
    """A command at work: its report comes on stdout, all else on stderr, which is copied to ours and to its log."""

    def __init__(self, command: VillaCommand) -> None:
        self.command = command
        self._output = ""
        self._process = _start(command)
        self._relays = [threading.Thread(target=work, daemon=True) for work in (self._relay, self._collect)]
        for relay in self._relays:
            relay.start()

    @property
    def ended(self) -> bool:
        """Tell whether it is no longer at work."""
        return self._process.poll() is not None

    def interrupt(self) -> None:
        """Have it put its work away."""
        if not self.ended:
            self._process.send_signal(signal.SIGINT)

    def report(self) -> dict[str, Any]:
        """Wait for its end and give its report.

        Raise DataEngineError with its one line when it failed, and KeyboardInterrupt when it was interrupted.
        """
        code = self._process.wait()
        for relay in self._relays:
            relay.join()
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        report = _as_object(self._output)
        if code == 0:
            return report
        why = "; ".join([str(report["error"]), *report.get("details", [])]) if "error" in report else self._last_line()
        raise DataEngineError(f"'{self.command}' ended with {code}: {why} (see {self.command.log})")

    def _last_line(self) -> str:
        """Give what it said last."""
        log = self.command.log.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in log.splitlines() if line.strip()]
        return lines[-1].strip() if lines else "it said nothing"

    def _relay(self) -> None:
        """Copy its stderr to our own and to its log."""
        assert self._process.stderr is not None
        log = self.command.log
        with log.open("a", encoding="utf-8") as copy, self._process.stderr as lines:
            for line in lines:
                copy.write(line)
                copy.flush()
                print(f"    [{log.stem}] {line.rstrip()}", file=sys.stderr, flush=True)  # noqa: T201

    def _collect(self) -> None:
        """Read its report while it runs."""
        assert self._process.stdout is not None
        with self._process.stdout as output:
            self._output = output.read()


def _as_object(text: str) -> dict[str, Any]:
    """Read a report; a child that was killed leaves none."""
    try:
        report = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return report if isinstance(report, dict) else {"items": report}


def _start(command: VillaCommand) -> subprocess.Popen[str]:
    """Start a command with `--json`."""
    command.log.parent.mkdir(parents=True, exist_ok=True)
    threads = {} if command.threads is None else dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), command.threads)
    environment = {name: str(count) for name, count in threads.items()}
    return subprocess.Popen(
        # -P: a folder `models` of the user's, in which a pipeline may be run, does not hide ours.
        [sys.executable, "-P", "-m", command.module, *command.arguments, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **environment, "PYTHONUNBUFFERED": "1", **command.environment},
        preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509  (no threads hold locks here that prctl would need)
    )
