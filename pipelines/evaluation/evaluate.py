"""Plays a policy in closed loop on starts that training never saw, beside baselines that say what a figure is worth.

Success is the simulator's own flag at any step of an episode. Results are kept per policy and task, so that a killed
evaluation goes on; a policy that was trained further is evaluated anew.
"""

import re
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from dataengine import progress
from dataengine.config import MOST, MOST_WORKERS, Config
from dataengine.digest import hex_digest
from dataengine.errors import DataEngineError
from dataengine.naming import did_you_mean
from dataengine.report import Report
from dataengine.whole_file import write_whole
from pipelines.device import pick_device
from pipelines.evaluation.chunks import ChunkConfig, Chunks
from pipelines.evaluation.demonstrations import demonstrations
from pipelines.evaluation.evaluate_as import dataset_of
from pipelines.evaluation.simulators import _play
from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM, Simulator, default_tasks, simulator_class
from pipelines.evaluation.simulators._workers import count, run_jobs
from pipelines.output.folder import Before, claimed, sources_at
from pipelines.training.act.stated import unfinished

OLD_RESULTS = Before(r"results/[\w.-]+-[0-9a-f]{8}\.(json|partial)|filmstrips/[\w.-]+\.jpg", lambda _: True)
BASELINES = ("random", "replay", "expert")
STRIP_FRAMES = 8


class EvalConfig(ChunkConfig):
    """What is played, where, and how often."""

    renamed = MappingProxyType(
        {
            "execute": "action_steps",
            "robots": "num_envs",
            "told": "instruction_override",
            "filmed": "num_filmstrips",
            "first_start": "seed_offset",
        }
    )

    policy: str
    """Folder of a trained policy, or a baseline: `random`, `replay` (mean demonstration, eyes closed), `expert`."""
    simulator: str = "metaworld"
    """Where to play."""
    tasks: tuple[str, ...] | None = None
    """What to play; None: `button-press-topdown`, `window-close` and `window-open` of `metaworld`, all of another."""
    episodes: int = Field(20, ge=1, le=MOST)
    """Unseen starts per task; every policy gets the same ones."""
    out: Path = Path("runs/eval")
    """Folder of results and filmstrips."""
    name: str = ""
    """What the policy is called in the report; its folder's name when empty."""
    instruction_override: Mapping[str, str] = Field(default_factory=dict)
    """Task to another task, whose instruction the policy gets instead of its own: does it follow the text?"""
    demonstrations: str = ""
    """Corpus that `replay` takes its demonstrations from."""
    acts_as: str = ""
    """Which of the robot's datasets the policy acts as in, and `replay` replays: its scale, controller and rate. By
    default that of the simulator's recordings, else the one that has most of the robot's steps."""
    action_steps: int = Field(4, ge=1, le=MOST)
    """Actions of a chunk that are executed before the policy looks again."""
    inference_delay: int = Field(0, ge=0, le=MOST)
    """Control steps that pass while the policy computes: meanwhile a robot goes on with the chunk before, as a real one
    does. 0 lets the world stand still."""
    continue_chunks: bool = False
    """Real-time chunking: each chunk is sampled so that it continues what is executed meanwhile; without it the policy
    knows nothing of that."""
    max_steps: int = Field(0, ge=0, le=MOST)
    """Control steps of an episode; 0 for the simulator's own limit."""
    num_envs: int = Field(10, ge=1, le=MOST_WORKERS)
    """Episodes that one process plays side by side."""
    processes: int = Field(2, ge=1, le=MOST_WORKERS)
    """Tasks played side by side, each by a process."""
    num_filmstrips: int = Field(2, ge=0, le=MOST)
    """Episodes per task that are kept as filmstrips."""
    seed_offset: int = Field(0, ge=0, le=MOST)
    """Which of the unseen starts is the first."""
    noise: Literal["zero", "normal"] = "zero"
    """What a policy's actions are denoised from: the mean of the noise, which makes them repeatable, or a draw of it,
    as in the paper."""
    num_euler_steps: int = Field(0, ge=0, le=MOST)
    """Euler steps from noise to actions; 0 for as many as the policy's settings say."""
    device: str | None = None
    """`cpu`, `cuda`; by default the best there is. Simulations run on processors in any case."""

    @model_validator(mode="after")
    def _check(self) -> "EvalConfig":
        if self.inference_delay > self.action_steps:
            raise ValueError(
                f"inference_delay is {self.inference_delay}, more than action_steps ({self.action_steps}): the next "
                f"look would come before the answer to this one"
            )
        return self.checked(self.action_steps)


class Filmstrip(BaseModel):
    """One filmed episode."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    image: str
    """JPEG below `out`, time from left to right."""
    seed: int
    success: bool
    steps: int


class TaskResult(BaseModel):
    """How often one policy solved one task; `low` and `high` bound the rate (Wilson, 95 %)."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    policy: str
    task: str
    instruction: str
    instruction_override: str = Field("", validation_alias=AliasChoices("instruction_override", "told"))
    """The other task whose instruction the policy got; empty for the task's own."""
    successes: int
    episodes: int
    rate: float
    low: float
    high: float
    mean_steps: float
    """Control steps of the episodes that succeeded; 0 when none did."""
    failed_seeds: list[int]
    filmstrips: list[Filmstrip]
    seconds: float
    """Wall-clock seconds, simulation and policy together."""


class EvalReport(Report):
    """All tasks of one policy."""

    policy: str
    simulator: str
    results: list[TaskResult]
    successes: int
    episodes: int
    low: float
    high: float
    acts_as: str = ""
    """Dataset whose scale, controller and rate the policy's actions had; empty for baselines and older policies."""
    unfinished: str = ""
    """How far the policy's training had come, where it was not at its end."""
    out: str = ""
    """Folder of the results, and of the filmed episodes."""
    filmstrips: str = ""
    """Folder of the filmed episodes."""

    def summary(self) -> str:
        """Give one line per task and one for all."""
        rows = [(_title(r), r.successes, r.episodes, r.low, r.high) for r in self.results]
        rows.append(("all", self.successes, self.episodes, self.low, self.high))
        width = max(len(row[0]) for row in rows)
        lines = [
            f"{task:<{width}}  {won:>3} of {episodes:<3}  {low:4.0%} to {high:4.0%}"
            for task, won, episodes, low, high in rows
        ]
        if self.acts_as:
            lines.append(f"acting as in {self.acts_as}")
        if self.unfinished:
            lines.append(f"the policy is a checkpoint of an unfinished training, {self.unfinished}")
        lines.append(f"results: {Path(self.out) / 'results'}")
        return "\n".join([*lines, *([f"filmstrips: {self.filmstrips}"] if self.filmstrips else [])])


def _title(result: TaskResult) -> str:
    """Name the task, and the other one whose instruction the policy got."""
    other = result.instruction_override
    return f"{result.task}, instruction of {other}" if other else result.task


class _Unit(Config):
    """One policy on one task: what a result depends on, hence what names its file."""

    policy: str
    fingerprint: str
    simulator: str
    task: str
    told: str  # of the digest: names of files stay
    episodes: int
    first_start: int
    execute: int
    max_steps: int
    demonstrations: str
    filmed: int
    noise: Literal["zero", "normal"] = "zero"
    num_euler_steps: int = 0
    acts_as: str = ""
    decay: float | None = None
    inference_delay: int = 0
    guidance_beta: float | None = None  # where chunks are continued
    # Below: without influence on the result.
    name: str
    robots: int
    device: str | None
    out: Path

    @property
    def result_file(self) -> Path:
        """The result's file."""
        defaults: dict[str, object] = {"noise": "zero", "num_euler_steps": 0, "acts_as": "", "decay": None}
        defaults |= {
            "inference_delay": 0,
            "guidance_beta": None,
        }  # results from before there was a choice keep their names
        plain = {key for key, value in defaults.items() if getattr(self, key) == value}
        facts = self.model_dump_json(exclude={"name", "robots", "out", "device"} | plain)
        digest = hex_digest(facts, 4)
        name = re.sub(r"[^A-Za-z0-9_.]+", "_", self.name)  # may hold blanks and slashes
        parts = [name, self.task, *(("told", self.told) if self.told else ()), digest]
        return self.out / "results" / f"{'-'.join(parts)}.json"


def run(config: EvalConfig) -> EvalReport:
    """Evaluate one policy on all tasks, two tasks at a time."""
    with claimed(config.out, "eval", before=OLD_RESULTS, sources=sources_at(config.demonstrations)) as out:
        out.claim("results/", "filmstrips/")
        return _run(config)


def _run(config: EvalConfig) -> EvalReport:
    """Play what has no result yet, and put all results together."""
    simulator = simulator_class(config.simulator)
    if config.policy not in BASELINES and config.device is not None:
        pick_device(config.device)  # what is not there is said before anything is played
    units = [_unit(config, simulator, task) for task in config.tasks or default_tasks(simulator)]
    acts_as = "" if config.policy in BASELINES else dataset_of(config.policy, simulator, config.acts_as)
    missing = [unit for unit in units if not unit.result_file.exists()]
    with progress.task(f"evaluate {units[0].name}", sum(unit.episodes for unit in missing), "episodes") as live:
        for index, result in run_jobs(_evaluate, missing, config.processes, live.advance):
            live.advance(0, note=f"{missing[index].task} {result.successes}/{result.episodes}")
    results = [TaskResult.model_validate_json(unit.result_file.read_text(encoding="utf-8")) for unit in units]
    successes, episodes = sum(r.successes for r in results), sum(r.episodes for r in results)
    low, high = wilson(successes, episodes)
    return EvalReport(
        policy=units[0].name,
        simulator=config.simulator,
        results=results,
        successes=successes,
        episodes=episodes,
        low=low,
        high=high,
        acts_as=acts_as,
        unfinished="" if config.policy in BASELINES else unfinished(config.policy),
        out=str(config.out),
        filmstrips=str(config.out / "filmstrips") if config.num_filmstrips else "",
    )


def wilson(successes: int, episodes: int) -> tuple[float, float]:
    """Bound a success rate with 95 % confidence (Wilson 1927): honest near 0 and 1, where rates of robots lie."""
    if episodes == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # here: half a second

    interval = binomtest(successes, episodes).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def check_task(simulator: str, name: str) -> None:
    """Raise DataEngineError where a simulator has no such task."""
    tasks = simulator_class(simulator).tasks
    if name not in tasks:
        raise DataEngineError(f"{simulator} has no task '{name}'; {did_you_mean(name, tasks)}")


def _unit(config: EvalConfig, simulator: type[Simulator], task: str) -> _Unit:
    """Check one task and collect what its result depends on."""
    for name in (task, *config.instruction_override.values()):
        check_task(config.simulator, name)
    if config.policy == "replay" and not config.demonstrations:
        raise DataEngineError("replay needs demonstrations: name a corpus that holds some")
    if config.policy not in BASELINES and not Path(config.policy).is_dir():
        raise DataEngineError(f"{config.policy}: no such folder, expected a trained policy or {', '.join(BASELINES)}")
    other = config.instruction_override.get(task, "")
    return _Unit(
        policy=config.policy,
        fingerprint="" if config.policy in BASELINES else _fingerprint(Path(config.policy)),
        simulator=config.simulator,
        task=task,
        told="" if other == task else other,
        episodes=config.episodes,
        first_start=config.seed_offset,
        execute=config.action_steps,
        max_steps=config.max_steps or simulator.max_steps,
        demonstrations=config.demonstrations,
        filmed=config.num_filmstrips,
        noise=config.noise,
        num_euler_steps=config.num_euler_steps,
        acts_as=config.acts_as,
        decay=config.decay,
        inference_delay=config.inference_delay,
        guidance_beta=config.guidance_beta if config.continue_chunks else None,
        device=config.device,
        name=config.name or Path(config.policy).name,
        robots=min(config.num_envs, config.episodes),
        out=config.out,
    )


def _fingerprint(folder: Path) -> str:
    """Tell a policy from the same folder trained further; what else lies in folders below it has no say."""
    below = folder.glob("checkpoints/**/*")
    files = sorted(file for file in (*folder.iterdir(), *below) if file.is_file())
    facts = [f"{file.relative_to(folder)} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    return hex_digest("\n".join(facts))


def _evaluate(unit: _Unit) -> TaskResult:
    """Play one policy on one task and keep the result; called in a worker process."""
    start = time.monotonic()
    kind = simulator_class(unit.simulator)
    instruction = kind.tasks[unit.told or unit.task]
    actor = _actor(unit, kind, instruction)
    simulators = [kind(unit.task) for _ in range(unit.robots)]
    seeds = [EVAL_SEEDS_FROM + unit.first_start + i for i in range(unit.episodes)]
    played = []
    for one in _play.play(
        simulators, actor, seeds, execute=unit.execute, max_steps=unit.max_steps, num_filmed=unit.filmed
    ):
        played.append(one)
        count()
    played.sort(key=lambda one: one.seed)
    won = [one for one in played if one.success]
    low, high = wilson(len(won), len(played))
    result = TaskResult(
        policy=unit.name,
        task=unit.task,
        instruction=instruction,
        instruction_override=unit.told,
        successes=len(won),
        episodes=len(played),
        rate=len(won) / len(played),
        low=low,
        high=high,
        mean_steps=float(np.mean([one.steps for one in won])) if won else 0.0,
        failed_seeds=[one.seed for one in played if not one.success],
        filmstrips=[_filmstrip(unit, one) for one in played if one.frames],
        seconds=time.monotonic() - start,
    )
    write_whole(unit.result_file, result.model_dump_json(indent=2))
    return result


def _actor(unit: _Unit, kind: type[Simulator], instruction: str) -> _play.Actor:
    """Make what decides: a baseline, or a policy read from its folder."""
    if unit.policy == "random":
        return _play.Random()
    if unit.policy == "expert":
        return _play.Expert()
    if unit.policy == "replay":
        return _play.Replay(demonstrations(unit.demonstrations, unit.acts_as or kind.source, instruction))
    import torch

    from pipelines.evaluation.policy import ActPolicy

    torch.set_num_threads(1)
    policy = ActPolicy.load(
        unit.policy,
        unit.device,
        dataset=unit.acts_as or kind.source,
        noise=unit.noise,
        num_euler_steps=unit.num_euler_steps or None,
    )
    horizon = policy.model.config.horizon
    if unit.inference_delay and unit.execute + unit.inference_delay > horizon:
        raise DataEngineError(
            f"action_steps {unit.execute} and inference_delay {unit.inference_delay} need chunks of as many actions "
            f"together, this policy's have {horizon}"
        )
    if unit.decay is None and not unit.inference_delay:
        return _play.Learned(policy, instruction)
    make = partial(Chunks, unit.execute, unit.decay, unit.inference_delay)
    return _play.InRealTime(policy, instruction, make, unit.execute, unit.guidance_beta)


def _filmstrip(unit: _Unit, played: _play.Played) -> Filmstrip:
    """Put some frames of an episode side by side, first and last among them."""
    import simplejpeg

    count = min(STRIP_FRAMES, len(played.frames))
    chosen = np.linspace(0, len(played.frames) - 1, count).round().astype(int)
    strip = np.ascontiguousarray(np.concatenate([played.frames[i] for i in chosen], axis=1))
    path = unit.out / "filmstrips" / f"{unit.result_file.stem}-{played.seed}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(simplejpeg.encode_jpeg(strip, quality=90, colorspace="RGB"))
    return Filmstrip(
        image=str(path.relative_to(unit.out)), seed=played.seed, success=played.success, steps=played.steps
    )
