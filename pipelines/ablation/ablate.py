"""Trains and evaluates recipes over seeds, and compares them: a table of intervals and paired differences.

Every latent action model, policy and evaluation has a folder of its own, by the commands that a user would give, and
each of them goes on where it was stopped: so does the whole.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from dataengine import progress
from dataengine.digest import hex_digest
from dataengine.errors import DataEngineError
from dataengine.naming import did_you_mean
from pipelines.ablation.config import AblateConfig, Arm, act_settings, lam_settings, load_arms
from pipelines.ablation.page import write_page
from pipelines.ablation.report import AblationReport, make_report
from pipelines.ablation.statistics import Solved, stack
from pipelines.evaluation.evaluate import EvalConfig
from pipelines.evaluation.evaluate import run as evaluate
from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM
from pipelines.evaluation.simulators._workers import run_jobs
from pipelines.output.folder import claimed, sources_at
from pipelines.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class LamJob:
    """One latent action model, for all arms whose settings are the same."""

    config: Any
    label: dict[str, Any]

    @property
    def out(self) -> Path:
        """Its folder."""
        return Path(self.config.out)


@dataclass(frozen=True, kw_only=True)
class ActJob:
    """One policy: an arm under a seed."""

    arm: str
    seed: int
    config: Any


def run(config: AblateConfig) -> AblationReport:
    """Do what is not done yet, and put all results together."""
    arms = load_arms(config.recipes)
    reference = config.reference or next(iter(arms))
    if reference not in arms:
        raise DataEngineError(f"no arm '{reference}' to compare with; {did_you_mean(reference, arms)}")
    with claimed(config.out, "ablate", sources=sources_at(config.corpus)) as out:
        lams = {name: _lam_job(config, arm) for name, arm in arms.items() if _needs_lam(config, arm)}
        jobs = [
            _act_job(config, name, arm, lams.get(name), seed)
            for seed in range(config.seeds)
            for name, arm in arms.items()
        ]  # all arms of a seed first
        _train(config, "latent action models", list({job.out: job for job in lams.values()}.values()))
        for job in {(job.out, job.label["name"]): job for job in lams.values()}.values():
            _label(job)
        _train(config, "policies", jobs)
        solved = {name: _solved(config, [job for job in jobs if job.arm == name]) for name in arms}
        report = make_report(config, arms, reference, solved)
        write_page(out, report)
    return report


def _needs_lam(config: AblateConfig, arm: Arm) -> bool:
    return arm.has_plan and (config.latent is None or bool(arm.lam) or bool(arm.label))


def _lam_job(config: AblateConfig, arm: Arm) -> LamJob:
    """Make an arm's latent action model a job, named by what it depends on."""
    from pipelines.training.lam.config import TrainLamConfig

    settings = {"preset": config.preset, "device": config.device, **lam_settings(config, arm)}
    name = hex_digest(json.dumps(settings, sort_keys=True, default=str), 4)
    folder = config.out / "lams" / name
    made = _checked(TrainLamConfig, f"lam {arm.lam or ''}", {**settings, "data": config.corpus, "out": folder})
    label = {"corpus": config.corpus, "lam": folder, "device": config.device, **arm.label}
    label["name"] = f"ablate_{name}{hex_digest(json.dumps(arm.label, sort_keys=True), 2) if arm.label else ''}"
    return LamJob(config=made, label=label)


def _act_job(config: AblateConfig, name: str, arm: Arm, lam: LamJob | None, seed: int) -> ActJob:
    """Make a policy a job."""
    from pipelines.training.act.config import TrainActConfig

    settings = {"preset": config.preset, "device": config.device, **act_settings(config, arm), "seed": seed}
    if arm.has_plan:
        settings["latent"] = lam.label["name"] if lam else config.latent
    settings |= {"data": config.corpus, "out": config.out / "policies" / f"{name}-{seed}"}
    return ActJob(arm=name, seed=seed, config=_checked(TrainActConfig, f"arm '{name}'", settings))


def _checked(kind: type[TrainConfig], what: str, settings: dict[str, Any]) -> TrainConfig:
    """Make settings; raise DataEngineError before anything is trained where one is wrong."""
    try:
        return kind(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataEngineError(f"{what}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _train(config: AblateConfig, what: str, jobs: list[Any]) -> None:
    """Train what is not trained, side by side."""
    missing = [job for job in jobs if not _finished(job.config)]
    with progress.task(f"train {what}", len(missing), "trainings") as live:
        for index, _ in run_jobs(_train_one, [job.config for job in missing], config.processes):
            live.advance(1, note=missing[index].config.out.name)


def _finished(config: TrainConfig) -> bool:
    """Tell whether a training came to its end, so that it need not be opened again."""
    report = Path(config.out) / "report.json"
    if not report.exists():
        return False
    content = json.loads(report.read_text(encoding="utf-8"))
    return bool(content["finished"]) and content["steps"] == config.steps


def _train_one(config: TrainConfig) -> None:
    """Train; called in a process of its own."""
    import torch

    if config.kind == "train_lam":
        from pipelines.training.lam.lam import run as train
    else:
        from pipelines.training.act.act import run as train  # type: ignore[assignment]
    torch.set_num_threads(1)
    train(config)  # type: ignore[arg-type]


def _label(job: LamJob) -> None:
    """Label what has no labels by this model."""
    from pipelines.label import LabelConfig
    from pipelines.label import run as label

    label(LabelConfig(**job.label))


def _solved(config: AblateConfig, jobs: list[ActJob]) -> dict[str, Solved]:
    """Play the policies of an arm; give for each task which starts (seeds, starts) were solved."""
    solved_by_task: dict[str, dict[int, NDArray[np.bool_]]] = {}
    for job in jobs:
        folder = config.out / "evaluations" / f"{job.arm}-{job.seed}"
        settings = {"num_filmstrips": 0, "device": config.device, **config.evaluation}
        report = evaluate(
            EvalConfig(
                policy=str(job.config.out),
                simulator=config.simulator,
                tasks=config.tasks,
                episodes=config.episodes,
                out=folder,
                name=f"{job.arm} {job.seed}",
                processes=config.processes,
                **settings,
            )
        )
        for result in report.results:
            failed = np.array(result.failed_seeds, np.int64)
            starts = EVAL_SEEDS_FROM + int(settings.get("seed_offset", 0)) + np.arange(result.episodes)
            solved_by_task.setdefault(result.task, {})[job.seed] = ~np.isin(starts, failed)
    return {task: stack(by_seed) for task, by_seed in solved_by_task.items()}
