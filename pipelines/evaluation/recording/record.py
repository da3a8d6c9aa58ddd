"""Records everything that the demo needs, in publishers' layouts, from simulators and a little real footage.

Work is cut into jobs; each leaves finished files, so that a killed recording goes on where it was.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dataengine import progress
from dataengine.errors import DataEngineError
from dataengine.whole_file import write_whole
from pipelines.evaluation.recording import attempt, rlds, something_something
from pipelines.evaluation.simulators._workers import run_jobs
from pipelines.output.folder import Before, OutputFolder, claimed

METAWORLD = Path("rlds", "metaworld", rlds.VERSION)
FETCH = Path("rlds", "fetch_mujoco", rlds.VERSION)

Scale = Literal["demo", "quick"]


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How many episodes of what."""

    metaworld: Mapping[str, int]
    fetch: Mapping[str, int]
    two_arm: int
    simulated_clips: Mapping[str, int]
    real_clips: int
    num_shards: int


FILES = ("scale", "attempts/", "rlds/", "agibot/", "something_something/", "rlds.log")
OLD_RECORDINGS = Before("|".join(FILES), lambda root: (root / "scale").is_file())

AMOUNTS: Mapping[Scale, Amount] = {
    "demo": Amount(
        metaworld={
            "button-press-topdown": 50,
            "window-close": 50,
            "window-open": 50,
            "faucet-close": 50,
            "push": 40,
        },
        fetch={"pick-and-place": 30},
        two_arm=5,
        simulated_clips=dict.fromkeys(something_something.SIMULATED, 3),
        real_clips=9,
        num_shards=4,
    ),
    "quick": Amount(
        metaworld={"button-press-topdown": 6, "window-close": 6, "window-open": 6},
        fetch={"pick-and-place": 4},
        two_arm=1,
        simulated_clips={"drawer-open": 2, "door-close": 2},
        real_clips=2,
        num_shards=2,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One raw dataset: `villa ingest SOURCE ROOT` reads exactly that."""

    source: str
    root: str
    episodes: int
    """Those that ingest takes."""
    steps: int
    """Steps of robots, frames of clips."""
    simulated: bool
    """False when it holds real footage too."""
    note: str
    """Where it comes from."""


@dataclass(frozen=True)
class _Job:
    """One piece of work for one process."""

    kind: str
    task: str
    count: int
    out: Path

    @property
    def attempts(self) -> Path:
        """Where the attempts of the job's task are kept until they are written out."""
        return self.out / "attempts" / self.kind / f"{self.task}.npz"


def record(out: str | Path, scale: Scale, processes: int = 2) -> list[Recording]:
    """Record all sources below `out` and say where each lies; a repeated call goes on, or finds all done."""
    root, amount = Path(out).resolve(), AMOUNTS[scale]
    with claimed(root, "record", before=OLD_RECORDINGS) as folder:
        _claim(folder, scale)
        return _record(root, amount, processes)


def _record(root: Path, amount: Amount, processes: int) -> list[Recording]:
    """Do what is not done yet."""
    jobs = [_Job("two_arm", "lift-pot", amount.two_arm, root)]
    jobs += [_Job("metaworld", task, count, root) for task, count in amount.metaworld.items()]
    jobs += [_Job("fetch", task, count, root) for task, count in amount.fetch.items()]
    jobs += [_Job("clips", task, count, root) for task, count in amount.simulated_clips.items()]
    jobs += [_Job("real_clips", "", amount.real_clips, root), _Job("spoilt_clips", "", 2, root)]
    jobs = [job for job in jobs if not (job.kind in ("metaworld", "fetch") and job.attempts.exists())]
    jobs.sort(key=_cost, reverse=True)
    written = [
        _Job(f"rlds_{name}", "", amount.num_shards, root)
        for name, folder in (("metaworld", METAWORLD), ("fetch", FETCH))
        if not (root / folder).exists()
    ]
    with progress.task("record", len(jobs) + len(written), "jobs") as live:
        for index, _ in run_jobs(_run, jobs, processes):
            live.advance(note=f"{jobs[index].kind} {jobs[index].task}")
        # In processes of their own: they import tensorflow, the others have drawn.
        for index, _ in run_jobs(_run, written, processes):
            live.advance(note=written[index].kind)
    return _recordings(root, amount)


def _claim(folder: OutputFolder, scale: Scale) -> None:
    """Keep two scales from being mixed in one folder."""
    folder.claim(*FILES)
    mark = folder.root / "scale"
    earlier = mark.read_text(encoding="utf-8") if mark.exists() else scale
    if earlier != scale:
        raise DataEngineError(f"{folder.root} holds recordings of scale '{earlier}', not '{scale}'; choose another")
    write_whole(mark, scale)


def _cost(job: _Job) -> float:
    """Estimate seconds, so that long jobs begin first."""
    each = {"two_arm": 6.0, "metaworld": 0.3, "fetch": 0.3, "clips": 0.7, "real_clips": 0.5, "spoilt_clips": 0.5}
    return each[job.kind] * job.count * (2.0 if job.task == "push" else 1.0)


def _run(job: _Job) -> None:
    """Do one job; called in a worker process."""
    attempts, clips = job.out / "attempts", job.out / "something_something"
    if job.kind == "two_arm":
        from pipelines.evaluation.recording import agibot

        agibot.write_episodes(job.out / "agibot", attempts / "two_arm", job.count)
    elif job.kind == "metaworld":
        from pipelines.evaluation.simulators.metaworld import Metaworld

        attempt.save(job.attempts, attempt.record_attempts(Metaworld(job.task), job.task, job.count))
    elif job.kind == "fetch":
        from pipelines.evaluation.simulators.fetch import Fetch

        attempt.save(job.attempts, attempt.record_attempts(Fetch(job.task), job.task, job.count))
    elif job.kind == "clips":
        something_something.write_simulated(clips, attempts / "clips", job.task, job.count)
    elif job.kind == "real_clips":
        something_something.write_real(clips, attempts / "clips", job.count)
    elif job.kind == "spoilt_clips":
        something_something.write_spoilt(clips, attempts / "clips")
    elif job.kind.startswith("rlds"):
        _log_to(job.out / "rlds.log")
    if job.kind == "rlds_metaworld":
        rlds.write_metaworld(sorted((attempts / "metaworld").glob("*.npz")), job.out / "rlds", job.count)
    elif job.kind == "rlds_fetch":
        rlds.write_fetch(sorted((attempts / "fetch").glob("*.npz")), job.out / "rlds", job.count)


def _log_to(file: Path) -> None:
    """Send what tensorflow and TFDS print to a file, for the rest of this process."""
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _clips_note(clips: something_something.Clips) -> str:
    """Say what the clips show, and which are spoilt."""
    counts = (
        (clips.simulated, "of a simulated arm"),
        (clips.real, "of real hands (Debian's opencv-doc)"),
        (clips.unlabelled, "of them without a label, as in its test split"),
        (clips.frozen, "spoilt on purpose by a camera that stands still"),
        (clips.broken, "spoilt on purpose by a file cut short, and not counted"),
    )
    said = ", ".join(f"{count} {what}" for count, what in counts if count)
    return f"clips in the layout of Something-Something V2: {said}"


def _recordings(root: Path, amount: Amount) -> list[Recording]:
    """Count what lies below `root` now."""
    recordings = []
    for source, kind, folder in (("openx/metaworld", "metaworld", METAWORLD), ("openx/fetch", "fetch", FETCH)):
        lengths = [n for file in sorted((root / "attempts" / kind).glob("*.npz")) for n in attempt.lengths(file)]
        tasks = ", ".join(getattr(amount, kind))
        recordings.append(
            Recording(
                source=source,
                root=str(root / folder),
                episodes=len(lengths),
                steps=sum(lengths),
                simulated=True,
                note=f"scripted experts in MuJoCo: {tasks}; written by TFDS as RLDS",
            )
        )
    notes = [json.loads(n.read_text(encoding="utf-8")) for n in (root / "attempts" / "two_arm").glob("*.json")]
    recordings.append(
        Recording(
            source="agibot",
            root=str(root / "agibot"),
            episodes=len(notes),
            steps=sum(n["num_steps"] for n in notes),
            simulated=True,
            note="two simulated Panda arms (robosuite TwoArmLift) in the layout of AgiBot World",
        )
    )
    clips = something_something.write_labels(root / "something_something", root / "attempts" / "clips")
    recordings.append(
        Recording(
            source="something_something",
            root=str(root / "something_something"),
            episodes=clips.simulated + clips.real + clips.frozen - clips.unlabelled,
            steps=clips.frames,
            simulated=clips.real == 0,
            note=_clips_note(clips),
        )
    )
    return recordings
