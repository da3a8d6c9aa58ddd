"""One policy on one task: all that a result depends on, and hence the names of its files."""

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from dataengine.digest import hex_digest
from dataengine.errors import DataEngineError
from dataengine.naming import did_you_mean
from pipelines.evaluation.config import BASELINES, EvalConfig
from pipelines.evaluation.episodes import Journal
from pipelines.evaluation.remote import is_server, server_fingerprint
from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM, Simulator, simulator_class, step_limit

_PLAIN = {"noise": "zero", "num_euler_steps": 0, "acts_as": "", "decay": None, "inference_delay": 0}
_PLAIN |= {"guidance_beta": None}
"""Results from before there was a choice keep their names."""
_WITHOUT_INFLUENCE = {"name", "robots", "out", "device", "num_videos", "step_timeout_s", "accept", "records"}
_OF_THE_AMOUNT = {"episodes", "first_start", "filmed"}
"""Say how much is played: an episode that was played serves whatever they are."""


class Unit(BaseModel):
    """One policy on one task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    num_videos: int
    step_timeout_s: float
    accept: tuple[str, ...]
    records: bool
    device: str | None
    out: Path

    @property
    def override(self) -> str:
        """Name the other task whose instruction the policy gets; empty for the task's own."""
        return self.told

    @property
    def instruction(self) -> str:
        """What the policy is asked to do."""
        return simulator_class(self.simulator).tasks[self.told or self.task]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Its starts."""
        return tuple(EVAL_SEEDS_FROM + self.first_start + i for i in range(self.episodes))

    @property
    def result_file(self) -> Path:
        """The result's file."""
        return self.out / "results" / f"{self._stem(set())}.json"

    @property
    def journal(self) -> Journal:
        """The episodes that were played."""
        return Journal(self.out / "episodes" / f"{self._stem(_OF_THE_AMOUNT)}.jsonl")

    def _stem(self, without: set[str]) -> str:
        """Name the policy and the task, and tell apart what a result depends on."""
        plain = {key for key, value in _PLAIN.items() if getattr(self, key) == value}
        digest = hex_digest(self.model_dump_json(exclude=_WITHOUT_INFLUENCE | plain | without), 4)
        name = re.sub(r"[^A-Za-z0-9_.]+", "_", self.name)  # may hold blanks and slashes
        return "-".join([name, self.task, *(("told", self.told) if self.told else ()), digest])


def make_unit(config: EvalConfig, task: str) -> Unit:
    """Check one task and collect what its result depends on."""
    simulator: type[Simulator] = simulator_class(config.simulator)
    for name in (task, *config.instruction_override.values()):
        check_task(config.simulator, name)
    if config.policy == "replay" and not config.demonstrations:
        raise DataEngineError("replay needs demonstrations: name a corpus that holds some")
    if not (config.policy in BASELINES or is_server(config.policy) or Path(config.policy).is_dir()):
        raise DataEngineError(f"{config.policy}: no such folder, expected a trained policy or {', '.join(BASELINES)}")
    other = config.instruction_override.get(task, "")
    return Unit(
        policy=config.policy,
        fingerprint=_fingerprint(config.policy),
        simulator=config.simulator,
        task=task,
        told="" if other == task else other,
        episodes=config.episodes,
        first_start=config.seed_offset,
        execute=config.action_steps,
        max_steps=config.max_steps or step_limit(simulator, task),
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
        robots=min(config.num_envs, config.episodes, getattr(simulator, "max_envs", config.num_envs)),
        num_videos=config.num_videos,
        step_timeout_s=config.step_timeout_s,
        accept=config.accept,
        records=config.records,
        out=config.out,
    )


def check_task(simulator: str, name: str) -> None:
    """Raise DataEngineError where a simulator has no such task."""
    tasks = simulator_class(simulator).tasks
    if name not in tasks:
        raise DataEngineError(f"{simulator} has no task '{name}'; {did_you_mean(name, tasks)}")


def _fingerprint(policy: str) -> str:
    """Tell a policy from the same folder trained further; what else lies in folders below it has no say."""
    if policy in BASELINES:
        return ""
    if is_server(policy):
        return server_fingerprint(policy)
    folder = Path(policy)
    below = folder.glob("checkpoints/**/*")
    files = sorted(file for file in (*folder.iterdir(), *below) if file.is_file())
    facts = [f"{file.relative_to(folder)} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    return hex_digest("\n".join(facts))
