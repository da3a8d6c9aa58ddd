"""The report of `villa eval libero`: each rate with its interval, beside what it is worth and what was published."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from dataengine.report import Report
from dataengine.whole_file import write_whole
from pipelines.evaluation.libero.arms import Arm, Played, task_title
from pipelines.evaluation.libero.config import LiberoConfig
from pipelines.evaluation.results import Filmstrip, TaskResult, wilson
from pipelines.output.text_table import text_table

PUBLISHED = {
    "libero_spatial": {"villa-X": 97.5, "villa-X w/o latent": 86.0, "OpenVLA": 84.7, "pi0-FAST": 96.4},
    "libero_object": {"villa-X": 97.0, "villa-X w/o latent": 86.5, "OpenVLA": 88.4, "pi0-FAST": 96.8},
    "libero_goal": {"villa-X": 91.5, "villa-X w/o latent": 85.0, "OpenVLA": 79.2, "pi0-FAST": 88.6},
    "libero_10": {"villa-X": 74.5, "villa-X w/o latent": 70.0, "OpenVLA": 53.7, "pi0-FAST": 60.2},
}
"""Per cent, from villa-X (arXiv:2507.23682v3), table of LIBERO: 20 trials a task."""


class TaskRate(BaseModel):
    """How often one arm solved one task; `low` and `high` bound the rate (Wilson, 95 %)."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    task: int
    successes: int
    episodes: int
    low: float
    high: float
    mean_steps: float
    """Control steps of the episodes that succeeded; 0 when none did."""
    failed_starts: list[int]


class ArmResult(BaseModel):
    """All tasks of one way to play."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str
    tasks: list[TaskRate]
    successes: int
    episodes: int
    low: float
    high: float
    lost: dict[str, str] = Field(default_factory=dict)
    """Episodes that the simulator did not bring to their end, as task/start, and why; the command plays them again."""
    act_share: float = 0.0
    """Of the time, waiting for actions."""
    episodes_per_hour: float = 0.0
    """Of one simulator."""


class LiberoReport(Report):
    """What was played, by which rules, and how it went."""

    suite: str
    arms: list[ArmResult]
    protocol: dict[str, str | int | float]
    """Every constant that changes a score."""
    versions: dict[str, str]
    """Of the simulator's environment."""
    published: dict[str, float]
    """Success of others on this suite, per cent, from villa-X's paper."""
    contract: str = ""
    """What was held against what LIBERO is before anything was played; empty for baselines."""
    calibration: str = ""
    """What replayed golden episodes said of this simulator."""
    recorded: str = ""
    """The dataset that was written of what the policy played."""
    mined: str = ""
    """The training episodes nearest to the policy's failures."""
    out: str = ""

    def summary(self) -> str:
        """Give a table of tasks by arms, and the rules."""
        names = [arm.name for arm in self.arms]
        rows = [
            [str(rate.task), *(f"{arm.tasks[i].successes}/{arm.tasks[i].episodes}" for arm in self.arms)]
            for i, rate in enumerate(self.arms[0].tasks)
        ]
        rows.append(["all", *(f"{arm.successes}/{arm.episodes}" for arm in self.arms)])
        rows.append(["95 %", *(f"{arm.low:.0%} to {arm.high:.0%}" for arm in self.arms)])
        lines = [text_table(["task", *names], rows)]
        lines += [
            f"lost to the simulator: {arm.name} {key}: {why}" for arm in self.arms for key, why in arm.lost.items()
        ]
        lines.append("rules: " + ", ".join(f"{key} {value}" for key, value in self.protocol.items()))
        lines.append(f"simulator: {', '.join(f'{key} {value}' for key, value in self.versions.items())}")
        lines.append(f"calibration: {self.calibration}")
        lines += [f"contract: {self.contract}"] if self.contract else []
        if self.published:
            others = ", ".join(f"{name} {rate:g}" for name, rate in self.published.items())
            lines.append(f"published on {self.suite} (2507.23682, per cent, other training data): {others}")
        if len(self.arms) == 1:
            lines.append("alone, the rate says little: --beside '[random, replay, expert, blank, swapped]' plays more")
        lines.append(f"results: {Path(self.out) / 'episodes'}")
        lines += [f"recorded: {self.recorded}, for `villa ingest lerobot`"] if self.recorded else []
        lines += ["", self.mined] if self.mined else []
        return "\n".join(lines)


def arm_result(arm: Arm, played: Sequence[Played], tasks: Sequence[int]) -> ArmResult:
    """Count the episodes of an arm."""
    ended = [one for one in played if not one.lost]
    seconds = sum(one.seconds for one in ended)
    won, low, high = _counted(ended)
    return ArmResult(
        name=arm.name,
        tasks=[_task_rate(task, [one for one in ended if one.task == task]) for task in tasks],
        successes=won,
        episodes=len(ended),
        low=low,
        high=high,
        lost={f"{one.task}/{one.start}": one.lost for one in played if one.lost},
        act_share=sum(one.act_seconds for one in ended) / seconds if seconds else 0.0,
        episodes_per_hour=3600 * len(ended) / seconds if seconds else 0.0,
    )


def write_results(config: LiberoConfig, played_by: Sequence[Arm], kept: Mapping[str, Sequence[Played]]) -> None:
    """Write a result for each task of each arm, in the form of other simulators: `villa eval compare` reads them."""
    for arm in played_by:
        for task in config.played_tasks:
            mine = [one for one in kept[arm.name] if one.task == task]
            if not mine:
                continue
            rate = _task_rate(task, mine)
            result = TaskResult(
                policy=arm.name,
                task=task_title(config.suite, task, config.init_set),
                instruction="",
                successes=rate.successes,
                episodes=rate.episodes,
                rate=rate.successes / rate.episodes,
                low=rate.low,
                high=rate.high,
                mean_steps=rate.mean_steps,
                failed_seeds=rate.failed_starts,
                seeds=[one.start for one in mine],
                filmstrips=[
                    Filmstrip(image=one.filmstrip, seed=one.start, success=one.success, steps=one.steps)
                    for one in mine
                    if one.filmstrip
                ],
                seconds=sum(one.seconds for one in mine),
            )
            write_whole(config.out / "results" / f"{arm.stem}-{task:02d}.json", result.model_dump_json(indent=2))


def _task_rate(task: int, ended: Sequence[Played]) -> TaskRate:
    won, low, high = _counted(ended)
    steps = [one.steps for one in ended if one.success]
    return TaskRate(
        task=task,
        successes=won,
        episodes=len(ended),
        low=low,
        high=high,
        mean_steps=sum(steps) / len(steps) if steps else 0.0,
        failed_starts=[one.start for one in ended if not one.success],
    )


def _counted(ended: Sequence[Played]) -> tuple[int, float, float]:
    won = sum(one.success for one in ended)
    return won, *wilson(won, len(ended))


def published(suite: str) -> Mapping[str, float]:
    """Give what others report on a suite."""
    return PUBLISHED.get(suite, {})
