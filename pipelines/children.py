"""Runs `villa` commands as child processes, side by side, exactly as a user would type them."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Command:
    """One `villa` command line, its log file and the threads it may use."""

    arguments: Sequence[str]
    log: Path
    threads: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Print it as a user would type it."""
        return " ".join(["villa", *self.arguments])


def _die_with_parent() -> None:
    """Ask Linux to kill this child when its parent goes, so that a killed demo leaves nothing behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _start(command: Command) -> subprocess.Popen[str]:
    """Start a command with `--json`: its report comes on stdout, all else on stderr."""
    command.log.parent.mkdir(parents=True, exist_ok=True)
    threads = str(command.threads)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "PYTHONUNBUFFERED": "1",
        **command.environment,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *command.arguments, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  (no threads hold locks here that prctl would need)
    )


def _relay(child: subprocess.Popen[str], log: Path) -> None:
    """Copy a child's stderr to our own and to its log."""
    assert child.stderr is not None
    with log.open("a") as copy:
        for line in child.stderr:
            copy.write(line)
            copy.flush()
            print(f"    [{log.stem}] {line.rstrip()}", file=sys.stderr, flush=True)  # noqa: T201


def run_all(commands: Sequence[Command]) -> list[dict[str, Any]]:
    """Run commands side by side and return their JSON reports in order.

    Raises DataEngineError with the last words of the first command that failed; an interrupt is passed on by the
    terminal to every child, and we wait until each has put its work away.
    """
    for command in commands:
        print(f"  $ {command}", file=sys.stderr, flush=True)  # noqa: T201
    children = [_start(command) for command in commands]
    relays = [
        threading.Thread(target=_relay, args=(child, command.log), daemon=True)
        for child, command in zip(children, commands, strict=True)
    ]
    for relay in relays:
        relay.start()
    try:
        outputs = [_output(child) for child in children]
    except KeyboardInterrupt:
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
        for child in children:
            child.wait()
        raise
    finally:
        for child in children:
            if child.poll() is None:
                child.terminate()
    for relay in relays:
        relay.join()
    for child, command in zip(children, commands, strict=True):
        if child.returncode != 0:
            words = command.log.read_text().strip().splitlines()[-1:] or ["it said nothing"]
            raise DataEngineError(f"'{command}' ended with {child.returncode}: {words[0]} (see {command.log})")
    return [json.loads(output) for output in outputs]


def _output(child: subprocess.Popen[str]) -> str:
    """Read a child's stdout to the end and wait for it."""
    assert child.stdout is not None
    output = child.stdout.read()
    child.wait()
    return output
