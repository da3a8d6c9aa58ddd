"""Trains and evaluates recipes over seeds, and compares them: a table of intervals and paired differences.

Every latent action model, policy and evaluation has a folder of its own, by the commands that a user would give, and
each of them goes on where it was stopped: so does the whole.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from dataengine import progress
from dataengine.config import Config
from dataengine.digest import hex_digest
from dataengine.errors import DataEngineError
from dataengine.naming import did_you_mean
from dataengine.windows.window import EpisodeReader
from models.weights import read_config
from pipelines.ablation.config import AblateConfig, Arm, act_settings, lam_settings, load_arms
from pipelines.ablation.page import FILES as PAGE_FILES
from pipelines.ablation.page import write_page
from pipelines.ablation.report import AblationReport, make_report
from pipelines.ablation.statistics import Solved, stack
from pipelines.evaluation.config import EvalConfig
from pipelines.evaluation.evaluate import run as evaluate
from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM
from pipelines.evaluation.simulators._workers import run_jobs
from pipelines.evaluation.unit import check_task
from pipelines.label import LabelConfig
from pipelines.label import run as label
from pipelines.output.folder import claimed, sources_at
from pipelines.training.config import TrainConfig
from pipelines.training.data import open_reader

C = TypeVar("C", bound=Config)


@dataclass(frozen=True, kw_only=True)
class LamJob:
    """One latent action model, for all arms whose settings are the same."""

    config: Any
    label: LabelConfig

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
    for task in config.tasks or ():
        check_task(config.simulator, task)
    with claimed(config.out, "ablate", sources=sources_at(config.corpus)) as out:
        lams = {name: _lam_job(config, arm) for name, arm in arms.items() if _needs_lam(config, arm)}
        jobs = [
            _act_job(config, name, arm, lams.get(name), seed)
            for seed in range(config.seeds)
            for name, arm in arms.items()
        ]  # all arms of a seed first
        plays = {name: [_play_of(config, job) for job in jobs if job.arm == name] for name in arms}
        out.claim("lams/", "policies/", "evaluations/", *PAGE_FILES)  # before any is there: a killed call goes on
        _train(config, "latent action models", list({job.out: job for job in lams.values()}.values()))
        for job in {(job.out, job.label.name): job for job in lams.values()}.values():
            label(job.label)
        _train(config, "policies", jobs)
        solved = {name: _solved(plays[name]) for name in arms}
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
    kind = hex_digest(json.dumps(arm.label, sort_keys=True), 2) if arm.label else ""
    given = {"device": config.device, **arm.label}
    given |= {"corpus": config.corpus, "lam": folder, "name": f"ablate_{name}{kind}"}
    return LamJob(config=made, label=_checked(LabelConfig, f"label {arm.label}", given))


def _act_job(config: AblateConfig, name: str, arm: Arm, lam: LamJob | None, seed: int) -> ActJob:
    """Make a policy a job."""
    from pipelines.training.act.config import TrainActConfig

    settings = {"preset": config.preset, "device": config.device, **act_settings(config, arm), "seed": seed}
    if arm.has_plan:
        settings["latent"] = lam.label.name if lam else config.latent
    settings |= {"data": config.corpus, "out": config.out / "policies" / f"{name}-{seed}"}
    return ActJob(arm=name, seed=seed, config=_checked(TrainActConfig, f"arm '{name}'", settings))


def _play_of(config: AblateConfig, job: ActJob) -> EvalConfig:
    """Make the settings of a policy's evaluation."""
    settings = {"num_filmstrips": 0, "device": config.device, **config.evaluation}
    settings |= {"policy": str(job.config.out), "name": f"{job.arm} {job.seed}"}
    settings |= {"out": config.out / "evaluations" / f"{job.arm}-{job.seed}"}
    settings |= {key: getattr(config, key) for key in ("simulator", "tasks", "episodes", "processes")}
    return _checked(EvalConfig, "evaluation", settings)


def _checked(kind: type[C], what: str, settings: dict[str, Any]) -> C:
    """Make settings; raise DataEngineError before anything is trained where one is wrong."""
    try:
        return kind(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataEngineError(f"{what}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _train(config: AblateConfig, what: str, jobs: list[Any]) -> None:
    """Train what is not trained, side by side."""
    reader = open_reader(config.corpus)
    missing = [job for job in jobs if not _finished(job.config, reader)]
    with progress.task(f"train {what}", len(missing), "trainings") as live:
        for index, _ in run_jobs(_train_one, [job.config for job in missing], config.processes):
            live.advance(1, note=missing[index].config.out.name)


def _finished(config: TrainConfig, reader: EpisodeReader) -> bool:
    """Tell whether just this training came to its end, so that it need not be opened again."""
    out = Path(config.out)
    if not (out / "report.json").exists():
        return False
    saved = read_config(out)
    training = config.saved_as_today(saved["training"])
    finished = json.loads((out / "report.json").read_text(encoding="utf-8"))["finished"]
    data = saved["data"]
    is_same = data["fingerprint"] == reader.identity.fingerprint and data.get("frame_side") == reader.frame_side
    return bool(finished) and is_same and training == config.recorded()


def _train_one(config: TrainConfig) -> None:
    """Train; called in a process of its own."""
    import torch

    if config.kind == "train_lam":
        from pipelines.training.lam.lam import run as train
    else:
        from pipelines.training.act.act import run as train  # type: ignore[assignment]
    torch.set_num_threads(1)
    train(config)  # type: ignore[arg-type]


def _solved(plays: list[EvalConfig]) -> dict[str, Solved]:
    """Play the policies of an arm, a seed after another; give which starts (seeds, starts) were solved, by task."""
    solved_by_task: dict[str, dict[int, NDArray[np.bool_]]] = {}
    for seed, play in enumerate(plays):
        starts = EVAL_SEEDS_FROM + play.seed_offset + np.arange(play.episodes)
        for result in evaluate(play).results:
            solved_by_task.setdefault(result.task, {})[seed] = ~np.isin(starts, result.failed_seeds)
    return {task: stack(by_seed) for task, by_seed in solved_by_task.items()}
