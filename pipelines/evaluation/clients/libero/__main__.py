"""Runs in the simulator's environment: `PYTHON pipelines/evaluation/clients/libero COMMAND`.

`play` reads one job a line from standard input and answers with lines of JSON: `ready`, `alive` while it works,
`ended` for an episode. Other commands take their arguments as JSON and answer once.
"""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).parents[1] / "_start.py"))["main"](Path(__file__).parent.name)
