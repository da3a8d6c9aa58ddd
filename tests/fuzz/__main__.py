"""Reads damaged inputs of new seeds, and prints a table: `python -m tests.fuzz --inputs 2000`.

`python -m tests.fuzz --group npy --seed 17` makes one input again and reads it here, with its traceback; `--keep DIR`
leaves the damaged tree behind.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.groups import GROUPS
from tests.fuzz.pool import GOOD, KINDS, Input, Outcome, build, hunt, make


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000, help="how many, over all groups")
    parser.add_argument("--start", type=int, default=int(time.time()), help="first seed; by default the clock's")
    parser.add_argument("--group", action="append", choices=list(GROUPS), help="only this one; may be given again")
    parser.add_argument("--seed", type=int, help="one input, read in this process")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--trees", type=Path, help="where the sound trees are kept for the next time")
    parser.add_argument("--keep", type=Path, help="where the damaged tree of --seed is left")
    asked = parser.parse_args()
    groups = asked.group or list(GROUPS)
    with tempfile.TemporaryDirectory(prefix="fuzz-trees-") as scratch:
        trees = asked.trees or Path(scratch)
        build(trees, groups)
        if asked.seed is not None:
            return _one(trees, Input(groups[0], asked.seed), asked.keep)
        inputs = [Input(groups[i % len(groups)], asked.start + i // len(groups)) for i in range(asked.inputs)]
        outcomes = []
        for outcome in hunt(trees, inputs, asked.workers):
            outcomes.append(outcome)
            if outcome.kind not in KINDS[:2]:
                _say(f"{outcome.kind}: --group '{outcome.input.group}' --seed {outcome.input.seed}: {outcome.about}")
    _say(table(outcomes))
    return 0 if all(outcome.kind in GOOD for outcome in outcomes) else 1


def _say(*argv: object) -> None:
    print(*argv, flush=True)  # noqa: T201


def _one(trees: Path, chosen: Input, keep: Path | None) -> int:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        folder = keep or Path(scratch) / "input"
        shutil.copytree(trees / chosen.group, folder)
        _say("damaged:", make(folder, chosen, GROUPS[chosen.group].prey)[0])
        GROUPS[chosen.group].read(folder)
    return 0


def table(outcomes: list[Outcome]) -> str:
    """Count outcomes by group and kind."""
    counts = Counter((outcome.input.group, outcome.kind) for outcome in outcomes)
    groups = sorted({outcome.input.group for outcome in outcomes}, key=list(GROUPS).index)
    rows = [["group", "inputs", *KINDS]]
    for group in [*groups, "all"]:
        numbers = [sum(n for (g, k), n in counts.items() if k == kind and group in (g, "all")) for kind in KINDS]
        rows.append([group, *map(str, (sum(numbers), *numbers))])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


if __name__ == "__main__":
    sys.exit(main())
