"""Finds the simulator's own environment (`make sim-libero`) and starts processes in it."""

import os
import sys
from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError
from pipelines.evaluation.client_process import Client, interpreter

PYTHON = "VILLA_LIBERO_PYTHON"
DEFAULT = Path(".venv-libero/bin/python")


def find_python(given: str) -> Path:
    """Give the interpreter of the simulator's environment; raise DataEngineError where there is none."""
    chosen = Path(given or os.environ.get(PYTHON, "") or DEFAULT)
    if not chosen.exists():
        raise DataEngineError(
            f"{chosen}: found no Python with LIBERO, which lives in an environment of its own; `make sim-libero` makes "
            f"it, --python or {PYTHON} names another"
        )
    return interpreter(chosen)


def libero(python: Path) -> Client:
    """Say how a process of LIBERO is started."""
    return Client("libero", python)


def ask(python: Path, command: str, **arguments: Any) -> dict[str, Any]:
    """Run a command of the simulator to its end and give its one answer; raise DataEngineError where it has none."""
    return libero(python).ask(command, **arguments)


def executable() -> list[str]:
    """Begin a command line of this project."""
    return [sys.executable, "-P", "-m", "cli"]
