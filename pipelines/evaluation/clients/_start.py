"""Starts a command of a client in the simulator's environment.

Two packages of this project are named here, without their neighbours in the folder that they are installed in: those
belong to another environment.
"""

import importlib
import json
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def name_packages() -> None:
    """Make our two packages known, without what lies beside them."""
    for name in ("pipelines", "dataengine"):
        package = types.ModuleType(name)
        package.__path__ = [str(ROOT / name)]
        sys.modules[name] = package


def main(client: str) -> None:
    """Run the command that the command line names, with its arguments as JSON."""
    name_packages()
    command, arguments = sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    try:
        module = importlib.import_module(f"pipelines.evaluation.clients.{client}.commands.{command}")
    except ImportError as error:
        from pipelines.evaluation.clients.broken import why_broken
        from pipelines.evaluation.clients.channel import Channel

        Channel().say("broken", why=why_broken(error, Path(sys.prefix), client))
    else:
        module.run(**arguments)
