"""Runs in the simulator's environment: `PYTHON pipelines/evaluation/clients/simpler COMMAND`.

`scene` serves one task, step by step; `preflight` says what is missing; `render` draws one picture.
"""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).parents[1] / "_start.py"))["main"](Path(__file__).parent.name)
