"""Runs `villa` commands as child processes, side by side, exactly as a user would type them."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError
from dataengine.runners.processes import die_with

INTERRUPTED = 130
POLL_S = 0.1


@dataclass(frozen=True)
class VillaCommand:
    """One `villa` command line, its log file and the threads it may use."""

    arguments: Sequence[str]
    log: Path
    threads: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Print it as a user would type it."""
        return shlex.join(["villa", *self.arguments])


def _start(command: VillaCommand) -> subprocess.Popen[str]:
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
        # -P: a folder `models` of the user's, in which a demo may be called, does not hide ours.
        [sys.executable, "-P", "-m", "cli", *command.arguments, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=environment,
        preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509  (no threads hold locks here that prctl would need)
    )


def _relay(child: subprocess.Popen[str], log: Path) -> None:
    """Copy a child's stderr to our own and to its log."""
    assert child.stderr is not None
    with log.open("a", encoding="utf-8") as copy:
        for line in child.stderr:
            copy.write(line)
            copy.flush()
            print(f"    [{log.stem}] {line.rstrip()}", file=sys.stderr, flush=True)  # noqa: T201


def run_all(commands: Sequence[VillaCommand]) -> list[dict[str, Any]]:
    """Run commands side by side and return their JSON reports in order.

    Raises DataEngineError with the last words of the first command that failed, and stops the others; an interrupt
    is passed on to every child, and we wait until each has put its work away.
    """
    for command in commands:
        print(f"  $ {command}", file=sys.stderr, flush=True)  # noqa: T201
    children = [_start(command) for command in commands]
    outputs = [""] * len(children)
    relays = [
        threading.Thread(target=work, daemon=True)
        for i, (child, command) in enumerate(zip(children, commands, strict=True))
        for work in (partial(_relay, child, command.log), partial(_collect, child, outputs, i))
    ]
    for relay in relays:
        relay.start()
    try:
        while any(child.poll() is None for child in children) and not any(child.returncode for child in children):
            time.sleep(POLL_S)
    finally:
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
        for child in children:
            child.wait()
    for relay in relays:
        relay.join()
    failed = [i for i, child in enumerate(children) if child.returncode not in (0, INTERRUPTED)]
    for i in failed:
        last_line = commands[i].log.read_text(encoding="utf-8").strip().splitlines()[-1:] or ["it said nothing"]
        raise DataEngineError(
            f"'{commands[i]}' ended with {children[i].returncode}: {last_line[0]} (see {commands[i].log})"
        )
    if any(child.returncode for child in children):
        raise KeyboardInterrupt  # a child was interrupted, and so are we
    return [json.loads(output) for output in outputs]


def _collect(child: subprocess.Popen[str], outputs: list[str], index: int) -> None:
    """Read a child's report while it runs."""
    assert child.stdout is not None
    outputs[index] = child.stdout.read()
