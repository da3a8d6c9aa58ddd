"""The `villa` command: every file of this folder that holds a command, and the way out."""

import contextlib
import importlib
import io
import os
import signal
import sys
from typing import Final

from cli.contract import COMMANDS, app, invoke

SPINS: Final = "3000"
"""How often a thread of torch's pool looks for work before it sleeps; GNU's runtime does so 300,000 times, by which
small models take ten times as long wherever anything else is at work. With idle cores steps are as fast as with it."""

for name in COMMANDS:
    importlib.import_module(f"cli.{name}")


def main() -> None:
    """Run the command line and leave with its exit code."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Texts of recordings hold letters that an ASCII terminal lacks, and JSON is UTF-8 wherever it goes.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = invoke(app, sys.argv[1:])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    if "ray" in sys.modules:
        # Ray's threads crash now and then while the interpreter ends; all that must be put away has been.
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is put away: Ctrl-C ends threads that are still at work
    sys.exit(code)
