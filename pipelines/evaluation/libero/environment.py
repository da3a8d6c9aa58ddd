"""Finds the simulator's own environment (`make sim-libero`) and starts processes in it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError
from dataengine.runners.processes import die_with

PYTHON = "VILLA_LIBERO_PYTHON"
DEFAULT = Path(".venv-libero/bin/python")
CLIENT = Path(__file__).resolve().parents[1] / "clients" / "libero"
ASK_S = 600


def find_python(given: str) -> Path:
    """Give the interpreter of the simulator's environment; raise DataEngineError where there is none."""
    chosen = Path(given or os.environ.get(PYTHON, "") or DEFAULT)
    if not chosen.exists():
        raise DataEngineError(
            f"{chosen}: found no Python with LIBERO, which lives in an environment of its own; `make sim-libero` makes "
            f"it, --python or {PYTHON} names another"
        )
    return Path(os.path.abspath(chosen))  # noqa: PTH100  (resolve() would follow the link out of the environment)


def start(python: Path, command: str, **arguments: Any) -> subprocess.Popen[str]:
    """Start a process of the simulator: lines go in and out, what libraries print is kept apart."""
    return subprocess.Popen(
        [str(python), "-P", str(CLIENT), command, json.dumps(arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env={**_inherited(), "OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509  (no threads hold locks here that prctl would need)
    )


def ask(python: Path, command: str, **arguments: Any) -> dict[str, Any]:
    """Run a command of the simulator to its end and give its one answer; raise DataEngineError where it has none."""
    process = start(python, command, **arguments)
    try:
        out, errors = process.communicate(timeout=ASK_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise DataEngineError(f"{python}: `{command}` of the simulator took more than {ASK_S} s") from None
    answers = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    ended = [answer for answer in answers if answer["event"] in ("ended", "lost")]
    if not ended or ended[-1]["event"] == "lost":
        why = ended[-1]["why"] if ended else last_line(errors) or f"exit code {process.returncode}"
        raise DataEngineError(f"{python}: `{command}` of the simulator failed: {why}; `make sim-libero` makes it anew")
    return {key: value for key, value in ended[-1].items() if key != "event"}


def last_line(text: str) -> str:
    """Give the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _inherited() -> Mapping[str, str]:
    """Everything but what leads Python to packages of this environment."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


def executable() -> list[str]:
    """Begin a command line of this project."""
    return [sys.executable, "-P", "-m", "cli"]
