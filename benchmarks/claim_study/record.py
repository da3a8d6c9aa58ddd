"""Records what the study of the latent expert is made of: attempts of Meta-World's scripted experts.

    python benchmarks/claim_study/record.py --out runs/claim
    python benchmarks/claim_study/record.py --out runs/claim_small --small

`--small` records three of the tasks with fewer clips: enough to try the commands, too little to judge an arm.
Kill it and run it again: what is recorded is kept.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from pipelines.evaluation.recording import attempt
from pipelines.evaluation.simulators._workers import run_jobs
from pipelines.evaluation.simulators.metaworld import Metaworld

TASKS = ("faucet-close", "button-press-topdown", "window-open", "faucet-open", "plate-slide", "window-close")
OTHERS = (
    "push",
    "drawer-open",
    "drawer-close",
    "door-close",
    "door-open",
    "handle-press",
    "coffee-button",
    "lever-pull",
)
"""Tasks that are never played: where a robot may have learnt what latent actions mean."""
DEMOS, CLIPS, HELD_OUT = 2, 80, 8
"""Attempts of each task: with actions, without, and neither trained on."""
OTHER_DEMOS = 30
"""Attempts with actions of each of the others."""
SMALL_TASKS, SMALL_CLIPS = ("faucet-close", "plate-slide", "window-close"), 28
"""What `--small` records."""
GROUP = 15
"""Attempts in one file: what a kill costs at most."""


@dataclass(frozen=True)
class Job:
    """A few attempts of one task."""

    task: str
    first: int
    out: Path

    @property
    def file(self) -> Path:
        """Where they are kept."""
        return self.out / "attempts" / f"{self.task}-{self.first:03d}.npz"


def record(job: Job) -> None:
    """Let the expert try; groups begin far apart, so that attempts that fail make none of them share a seed."""
    if not job.file.exists():
        attempt.save(job.file, attempt.record_attempts(Metaworld(job.task), job.task, GROUP, 20 * job.first))


def amounts(*, small: bool) -> dict[str, int]:
    """Say how many attempts of each task are recorded."""
    if small:
        return dict.fromkeys(SMALL_TASKS, DEMOS + SMALL_CLIPS)
    return dict.fromkeys(TASKS, DEMOS + CLIPS + HELD_OUT) | dict.fromkeys(OTHERS, OTHER_DEMOS)


def main() -> None:
    """Record all tasks, a group of each in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/claim"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    out, counts = options.out.resolve(), amounts(small=options.small)
    jobs = [Job(task, first, out) for task, count in counts.items() for first in range(0, count, GROUP)]
    jobs.sort(key=lambda job: job.first)
    for done, (index, _) in enumerate(run_jobs(record, jobs, options.processes), 1):
        print(f"{done}/{len(jobs)} {jobs[index].task} {jobs[index].first}", flush=True)


if __name__ == "__main__":
    main()
