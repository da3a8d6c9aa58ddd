"""What is kept of an evaluation: successes of each task with their interval, and what failed."""

from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from dataengine.report import Report


class Filmstrip(BaseModel):
    """One filmed episode."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    image: str
    """JPEG below `out`, time from left to right."""
    seed: int
    success: bool
    steps: int


class Lost(BaseModel):
    """An episode that the simulator did not bring to its end: it says nothing about the policy."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    seed: int
    reason: str


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
    solved_ever: int | None = None
    """Episodes that were solved at any step, where `successes` are those solved at the last one."""
    rate: float
    low: float
    high: float
    mean_steps: float
    """Control steps of the episodes that succeeded; 0 when none did."""
    failed_seeds: list[int]
    seeds: list[int] = Field(default_factory=list)
    """Starts that were played to their end; empty in results of versions before 0.3."""
    lost: list[Lost] = Field(default_factory=list)
    """Starts that the simulator lost: they count in nothing above."""
    filmstrips: list[Filmstrip]
    videos: list[str] = Field(default_factory=list)
    """MP4s of failed episodes below `out`."""
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
    calibration: str = ""
    """Whether the simulator was shown to do what recordings say."""
    warnings: list[str] = Field(default_factory=list)
    """What makes the rates worth less."""
    published: str = ""
    """What others report."""
    recorded: str = ""
    """The dataset that was written of it."""
    mined: str = ""
    """The training episodes nearest to the failures."""
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
        lines += _counted(self.results)
        lines += [
            f"{r.task}: start {one.seed} lost to the simulator, {one.reason}" for r in self.results for one in r.lost
        ]
        if self.calibration:
            lines.append(f"simulator {self.calibration}")
        if self.acts_as:
            lines.append(f"acting as in {self.acts_as}")
        if self.unfinished:
            lines.append(f"the policy is a checkpoint of an unfinished training, {self.unfinished}")
        lines += [f"published: {self.published}"] if self.published else []
        lines += [f"warning: {one}" for one in self.warnings]
        lines.append(f"results: {Path(self.out) / 'results'}")
        lines += [f"recorded: {self.recorded}, for `villa ingest lerobot`"] if self.recorded else []
        lines += [f"filmstrips: {self.filmstrips}"] if self.filmstrips else []
        lines += [f"videos of failures: {Path(self.out) / 'videos'}"] if any(r.videos for r in self.results) else []
        lines += ["", self.mined] if self.mined else []
        return "\n".join(lines)


def _title(result: TaskResult) -> str:
    """Name the task, and the other one whose instruction the policy got."""
    other = result.instruction_override
    return f"{result.task}, instruction of {other}" if other else result.task


def _counted(results: list[TaskResult]) -> list[str]:
    """Say which success the table counts, and the other count, where they differ."""
    ever = [(one, one.solved_ever) for one in results if one.solved_ever is not None]
    if not ever:
        return []
    won, episodes = sum(count for _, count in ever), sum(one.episodes for one, _ in ever)
    low, high = wilson(won, episodes)
    by_task = ", ".join(f"{one.task} {count}" for one, count in ever)
    return [
        "solved when the last step was over (truncation); at any step (accumulation): "
        f"{won} of {episodes}, {low:.0%} to {high:.0%} ({by_task})"
    ]


def wilson(successes: int, episodes: int, confidence: float = 0.95) -> tuple[float, float]:
    """Bound a success rate (Wilson 1927): honest near 0 and 1, where rates of robots lie."""
    if episodes == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # here: half a second

    interval = binomtest(successes, episodes).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
