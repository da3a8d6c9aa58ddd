"""Runs in the simulator's environment: `PYTHON pipelines/evaluation/clients/libero COMMAND`.

`play` reads one job a line from standard input and answers with lines of JSON: `ready`, `alive` while it works,
`ended` for an episode. Other commands take their arguments as JSON and answer once. Two packages of this project are
named here, without their neighbours in the folder that they are installed in: those belong to another environment.
"""

import importlib
import json
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]


def name_packages() -> None:
    """Make our two packages known, without what lies beside them."""
    for name in ("pipelines", "dataengine"):
        package = types.ModuleType(name)
        package.__path__ = [str(ROOT / name)]
        sys.modules[name] = package


if __name__ == "__main__":
    name_packages()
    command, arguments = sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    importlib.import_module(f"pipelines.evaluation.clients.libero.commands.{command}").run(**arguments)
