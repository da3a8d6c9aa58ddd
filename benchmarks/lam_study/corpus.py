"""Records the corpus of the latent action study and brings it into Lance tables with the `villa` commands.

    python benchmarks/lam_study/corpus.py --out runs/lam_study

Simulated robots with scripted experts (Meta-World, Fetch, three arms of robosuite), written as RLDS by TFDS; clips
without actions in the layout of Something-Something V2, 27 of a simulated arm and nine of real hands. A second corpus,
`corpus_real`, has the same robots and the real hands alone. Kill it and run it again: what is recorded is kept.
`--as-is` goes on with whatever is there.
"""

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pipelines.evaluation.recording import attempt, rlds, something_something
from pipelines.evaluation.recording.record import _log_to
from pipelines.evaluation.simulators._base import simulator_class
from pipelines.evaluation.simulators._workers import run_jobs

HERE = Path(__file__).parent
METAWORLD = (
    "button-press-topdown",
    "window-close",
    "window-open",
    "faucet-close",
    "push",
    "drawer-open",
    "drawer-close",
    "door-close",
    "door-open",
    "handle-press",
)
ARMS = {"lift": "panda", "lift_ur5e": "ur5e", "lift_kinova3": "kinova3"}
CLIPS = {"clips": "something_something", "real_clips": "something_something_real"}
"""Folders of clips, by the folder of their notes."""
GROUP = 6
"""Episodes in one file: what a kill costs at most."""
CLIPS_EACH = 3
NUM_SHARDS = 2


@dataclass(frozen=True)
class Job:
    """A few attempts of one task, or all clips of one kind, or one dataset to write."""

    kind: str
    task: str
    first: int
    count: int
    out: Path

    @property
    def file(self) -> Path:
        return self.out / "attempts" / self.kind / f"{self.task}-{self.first:02d}.npz"


def jobs(out: Path) -> list[Job]:
    """List everything to record, the order of the robots mixed so that a part of it has all of them."""
    amounts = [*(("metaworld", task, 18) for task in METAWORLD), ("fetch", "pick-and-place", 96)]
    amounts += [("lift", "cube", 48), ("lift_ur5e", "cube", 30), ("lift_kinova3", "cube", 30)]
    wanted = [
        Job(kind, task, first, min(GROUP, count - first), out)
        for kind, task, count in amounts
        for first in range(0, count, GROUP)
    ]
    wanted += [Job("clips", task, 0, CLIPS_EACH, out) for task in something_something.SIMULATED]
    wanted += [Job(kind, "real", 0, len(something_something.REAL), out) for kind in ("clips", "real_clips")]
    return sorted(wanted, key=lambda job: (job.first, job.kind, job.task))


def record(job: Job) -> None:
    clips = job.out / CLIPS.get(job.kind, "")
    if job.task == "real":
        something_something.write_real(clips, job.out / job.kind, job.count)
    elif job.kind == "clips":
        something_something.write_simulated(clips, job.out / "clips", job.task, job.count)
    elif not job.file.exists():
        # groups begin far apart, so that attempts that fail make none of them share a seed
        recorded = attempt.record_attempts(simulator_class(job.kind)(job.task), job.task, job.count, 100 * job.first)
        attempt.save(job.file, recorded)


def write(job: Job) -> None:
    """Write one dataset as RLDS, in a process without drawing."""
    _log_to(job.out / "rlds.log")
    files = sorted((job.out / "attempts" / job.kind).glob("*.npz"))
    if job.kind == "metaworld":
        rlds.write_metaworld(files, job.out / "rlds", NUM_SHARDS)
    elif job.kind == "fetch":
        rlds.write_fetch(files, job.out / "rlds", NUM_SHARDS)
    else:
        rlds.write_lift(ARMS[job.kind], files, job.out / "rlds", NUM_SHARDS)


def sources(out: Path, clips: str) -> list[list[str]]:
    """Arguments of `villa ingest` for each dataset of a corpus."""
    version = rlds.VERSION
    listed = [
        ["openx/metaworld", str(out / "rlds" / "metaworld" / version)],
        ["openx/fetch", str(out / "rlds" / "fetch_mujoco" / version)],
        ["something_something", str(out / clips)],
    ]
    for arm in ARMS.values():
        folder, mapping = out / "rlds" / "robosuite_lift" / arm / version, HERE / f"lift_{arm}.yaml"
        listed.append(["openx/auto", str(folder), "--mapping", str(mapping)])
    return listed


def villa(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "cli", *arguments], check=True, cwd=HERE.parents[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/lam_study"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--as-is", action="store_true", help="Record nothing more.")
    options = parser.parse_args()
    out = options.out.resolve()
    todo = [] if options.as_is else jobs(out)
    for done, (index, _) in enumerate(run_jobs(record, todo, options.processes), 1):
        print(f"{done}/{len(todo)} {todo[index].kind} {todo[index].task} {todo[index].first}", flush=True)
    for notes, clips in CLIPS.items():
        something_something.write_labels(out / clips, out / notes)
    kinds = [kind for kind in ("metaworld", "fetch", *ARMS) if any((out / "attempts" / kind).glob("*.npz"))]
    unwritten = [kind for kind in kinds if not (out / "rlds" / f"{kind}.done").exists()]
    written = [Job(kind, "", 0, 0, out) for kind in unwritten]
    for index, _ in run_jobs(write, written, 1):
        (out / "rlds" / f"{written[index].kind}.done").touch()
    for name, clips in (("corpus", CLIPS["clips"]), ("corpus_real", CLIPS["real_clips"])):
        corpus = str(out / name)
        for arguments in sources(out, clips):
            if Path(arguments[1]).exists():
                villa("ingest", *arguments, "--corpus", corpus, "--engine", "local")
        villa("curate", corpus)
        villa("stats", corpus)
        villa("corpus", "info", corpus)


if __name__ == "__main__":
    main()
