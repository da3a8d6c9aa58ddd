"""Records what the study of the latent expert is made of: attempts of Meta-World's scripted experts.

    python benchmarks/claim_study/record.py --out runs/claim

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


def main() -> None:
    """Record all tasks, a group of each in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/claim"))
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    amounts = [*((task, DEMOS + CLIPS + HELD_OUT) for task in TASKS), *((task, OTHER_DEMOS) for task in OTHERS)]
    out = options.out.resolve()
    jobs = [Job(task, first, out) for task, count in amounts for first in range(0, count, GROUP)]
    jobs.sort(key=lambda job: job.first)
    for done, (index, _) in enumerate(run_jobs(record, jobs, options.processes), 1):
        print(f"{done}/{len(jobs)} {jobs[index].task} {jobs[index].first}", flush=True)


if __name__ == "__main__":
    main()
