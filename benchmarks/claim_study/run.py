"""Trains the arms of the study of the latent expert, plays each, and keeps every start that was solved.

    python benchmarks/claim_study/run.py --shards runs/claim/shards --out runs/claim/runs

Arms and their order are in arms.yaml. Neither ray, lance nor FFmpeg is needed, so it runs where there is only torch
and MuJoCo. What is finished is kept: kill it and run it again. With --budget-s it stops by itself, with what it has.
`tables.py` makes the tables.
"""

import argparse
import json
import multiprocessing as mp
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))
ENVS = 10
"""Episodes that are played side by side."""
ACTION_STEPS = 4
LOOK_EVERY_S = 15.0
STOP_S = 10.0
"""Kept of the budget for putting things away."""


def train(study: Mapping[str, Any], arm: str, seed: int, shards: Path, out: Path, device: str) -> None:
    """Train one policy by the loop that all are trained by."""
    from pipelines.training.act.act import ActTask, TrainActConfig
    from pipelines.training.fit import fit

    settings = {**study["common"], **study["arms"][arm]}
    settings.pop("in_play", None)
    if device == "cuda":
        settings["bf16"] = False  # at this size casts cost more than they save
    fit(ActTask, TrainActConfig(data=str(shards), out=out, seed=seed, device=device, **settings))


@cache
def simulators(task: str) -> list[Any]:
    """Open simulators that show pictures of the size that policies see, made as those of training were."""
    from pictures import half

    from pipelines.evaluation.simulators.metaworld import Metaworld

    class Small(Metaworld):
        def observe(self) -> Any:
            seen = super().observe()
            return replace(seen, image=half(seen.image))

    return [Small(task) for _ in range(ENVS)]


def play(policy: Any, task: str, starts: int) -> dict[str, Any]:
    """Play unseen starts of a task; give those that were solved and the steps that each took."""
    from pipelines.evaluation.simulators import _play
    from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM
    from pipelines.evaluation.simulators.metaworld import Metaworld

    actor = _play.Learned(policy, Metaworld.tasks[task])
    seeds = [EVAL_SEEDS_FROM + i for i in range(starts)]
    played = list(_play.play(simulators(task), actor, seeds, execute=ACTION_STEPS, max_steps=Metaworld.max_steps))
    played.sort(key=lambda one: one.seed)
    return {"solved": [one.success for one in played], "steps": [one.steps for one in played]}


def do(study: Mapping[str, Any], arm: str, seed: int, options: argparse.Namespace, device: str) -> None:
    """Train and play what is missing of one policy; each task that was played is a file."""
    from record import TASKS

    from dataengine.whole_file import write_whole
    from pipelines.evaluation.policy import ActPolicy

    folder = options.out / f"{arm}-{seed}"
    versions = {"": {}, **study["arms"][arm].get("in_play", {})}
    files = {
        (name, task): options.out / "plays" / f"{'.'.join(filter(None, (arm, name)))}-{seed}-{task}.json"
        for name in versions
        for task in TASKS
    }
    todo = {key: file for key, file in files.items() if not file.exists()}
    if not todo:
        return
    began = time.monotonic()
    if not (folder / "report.json").exists():
        train(study, arm, seed, options.shards, folder, device)
    trained_s = time.monotonic() - began
    policies: dict[str, Any] = {}
    for (name, task), file in todo.items():
        began = time.monotonic()
        if name not in policies:  # on a processor: few episodes at a time, and no graph to record for each number
            policies[name] = ActPolicy.load(folder, "cpu", dataset="others" if "none" in arm else "demos")
            policies[name].model.config = policies[name].model.config.model_copy(update=versions[name])
        result = play(policies[name], task, options.starts)
        seconds = {"train_s": round(trained_s, 1), "play_s": round(time.monotonic() - began, 1), "device": device}
        facts = {"arm": ".".join(filter(None, (arm, name))), "seed": seed, "task": task}
        write_whole(file, json.dumps({**facts, **result, **seconds}))


def work(
    jobs: Sequence[tuple[str, int]],
    taken: Any,
    study: Mapping[str, Any],
    options: argparse.Namespace,
    device: str,
    number: int,
) -> None:
    """Do one job after another; one that fails leaves its traceback."""
    (options.out / "logs").mkdir(parents=True, exist_ok=True)
    log = os.open(options.out / "logs" / f"worker_{number:02d}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.path.insert(0, str(HERE))
    import torch

    torch.set_num_threads(1)
    while True:
        with taken.get_lock():
            number, taken.value = taken.value, taken.value + 1
        if number >= len(jobs):
            return
        arm, seed = jobs[number]
        try:
            do(study, arm, seed, options, device)
        except Exception:  # the others go on
            (options.out / "logs" / f"failed_{arm}-{seed}.txt").write_text(traceback.format_exc())


def put_away(options: argparse.Namespace, began: float) -> str:
    """Write all plays so far into one file; tell how many there are, and the first failures."""
    plays = [json.loads(file.read_text()) for file in sorted((options.out / "plays").glob("*.json"))]
    failures = {file.stem: file.read_text()[-1500:] for file in sorted((options.out / "logs").glob("failed_*"))}
    seconds = time.monotonic() - began
    if options.results:
        facts = {"plays": plays, "failures": dict(list(failures.items())[:10]), "seconds": round(seconds, 1)}
        options.results.write_text(json.dumps(facts))
    lines = [f"{len(plays)} plays, {len(failures)} failures, {seconds:.0f} s"]
    return "\n".join(lines + [f"{name}: {text[-600:]}" for name, text in list(failures.items())[:3]])


def main() -> None:
    """Start the workers, and end them when the time is up."""
    import yaml

    began = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, default=Path("runs/claim/shards"))
    parser.add_argument("--out", type=Path, default=Path("runs/claim/runs"))
    parser.add_argument("--starts", type=int, default=20, help="Of each task.")
    parser.add_argument("--cpu", type=int, default=2, help="Processes that train on a processor.")
    parser.add_argument("--gpu", type=int, default=0, help="Processes that share the GPU.")
    parser.add_argument("--budget-s", type=float, default=1e9)
    parser.add_argument("--arms", nargs="*", help="Only these.")
    parser.add_argument("--seeds", nargs="*", type=int, help="Of the arms that are named, one after the other.")
    parser.add_argument("--steps", type=int, help="Of every training, to try things out.")
    parser.add_argument("--results", type=Path, help="One file with all plays and the first failures.")
    options = parser.parse_args()
    options.out, options.shards = options.out.resolve(), options.shards.resolve()
    os.environ.update(OMP_NUM_THREADS="1", LP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    study = yaml.safe_load((HERE / "arms.yaml").read_text())
    if options.steps:
        for settings in (study["common"], *study["arms"].values()):
            settings["steps"] = options.steps
    jobs_in_order = [(arm, seed) for line in study["order"] for seed in line["seeds"] for arm in line["arms"]]
    if options.arms and options.seeds:
        jobs_in_order = [(arm, seed) for seed in options.seeds for arm in options.arms]
    context = mp.get_context("spawn")
    jobs = [job for job in dict.fromkeys(jobs_in_order) if options.arms is None or job[0] in options.arms]
    taken = context.Value("i", 0)
    (options.out / "plays").mkdir(parents=True, exist_ok=True)
    devices = ["cuda"] * options.gpu + ["cpu"] * options.cpu
    workers = [
        context.Process(target=work, args=(jobs, taken, study, options, device, i), daemon=True)
        for i, device in enumerate(devices)
    ]
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers) and time.monotonic() - began < options.budget_s - STOP_S:
            wait([worker.sentinel for worker in workers if worker.is_alive()], timeout=LOOK_EVERY_S)
            put_away(options, began)
    finally:
        for worker in workers:
            worker.kill()
        print(put_away(options, began))


if __name__ == "__main__":
    main()
