"""The `villa` command: every file of this folder that holds a command, and the way out."""

import importlib
import sys

from cli.contract import COMMANDS, app, invoke

for name in COMMANDS:
    importlib.import_module(f"cli.{name}")


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(invoke(app, sys.argv[1:]))
