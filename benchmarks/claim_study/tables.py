"""Tables of the study of the latent expert, from the plays that run.py left.

    python benchmarks/claim_study/tables.py runs/claim/claim.json [more.json ...]

Seeds of several files add up; the same arm and seed of a later file is left out. Rates have Wilson's interval over all
plays, differences one by bootstrap over starts and seeds.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from pipelines.ablation.statistics import Solved, only_one, paired_difference, stack
from pipelines.evaluation.results import wilson

REFERENCES = ("A", "B", "H")
"""Every arm stands beside these, or those of its own regime."""
REGIMES = {"more": "others' demonstrations too", "none": "no demonstration of what is played"}


def read(files: list[Path]) -> tuple[dict[str, dict[int, dict[str, list[bool]]]], list[str]]:
    """Read plays by arm, seed and task; name the tasks."""
    plays: dict[str, dict[int, dict[str, list[bool]]]] = defaultdict(lambda: defaultdict(dict))
    owner: dict[tuple[str, int], Path] = {}
    for file in files:
        for play in json.loads(file.read_text())["plays"]:
            if owner.setdefault((play["arm"], play["seed"]), file) == file:
                plays[play["arm"]][play["seed"]][play["task"]] = play["solved"]
    return plays, sorted({task for seeds in plays.values() for tasks in seeds.values() for task in tasks})


def whole(seeds: dict[int, dict[str, list[bool]]], tasks: list[str]) -> dict[int, np.ndarray]:
    """Join the tasks of the seeds that played all of them."""
    return {
        seed: np.concatenate([played[task] for task in tasks]).astype(bool)
        for seed, played in seeds.items()
        if len(played) == len(tasks)
    }


def reference_of(name: str, arm: str) -> str:
    """Name the reference of an arm's own regime and latent actions: `H` of `C-more-blind` is `H-more`."""
    parts = arm.split(".")[0].split("-")[1:]
    kept = [word for word in parts if word in REGIMES or (word in ("wide", "moved") and name == "H")]
    return "-".join([name, *kept])


def difference(arm: Solved, reference: Solved | None) -> str:
    """Write a difference in points with its interval."""
    if reference is None:
        return "-"
    gap = paired_difference(arm, reference)
    more, less = only_one(arm, reference)
    return f"{100 * gap.value:+.1f} ({100 * gap.low:+.0f} to {100 * gap.high:+.0f}), {more} v {less}"


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    plays, tasks = read(parser.parse_args().files)
    arms = {name: stack(complete) for name, seeds in plays.items() if (complete := whole(seeds, tasks))}
    short = " | ".join(tasks)
    print(f"| arm | of {len(next(iter(arms.values()))[0])}, by seed | all | less A | less H | {short} |")
    print("|---" * (5 + len(tasks)) + "|")
    for name in sorted(arms):
        solved = arms[name]
        low, high = wilson(int(solved.sum()), solved.size)
        references = {which: reference_of(which, name) for which in ("A", "H")}
        differences = [difference(solved, arms.get(ref) if ref != name else None) for ref in references.values()]
        by_task = [str(int(part.sum())) for part in np.split(solved, len(tasks), axis=1)]
        rate = f"{100 * solved.mean():.1f} % ({100 * low:.0f}-{100 * high:.0f})"
        seeds = " ".join(str(int(row.sum())) for row in solved)
        print(f"| {' | '.join([name, seeds, rate, *differences, *by_task])} |")


if __name__ == "__main__":
    main()
