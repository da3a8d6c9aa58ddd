"""What an ablation found: every arm's successes, and how they differ from the reference's."""

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from dataengine.report import Report
from pipelines.ablation.config import AblateConfig, Arm
from pipelines.ablation.statistics import Estimate, Solved, only_one, paired_difference, rate_over_seeds
from pipelines.evaluation.results import wilson
from pipelines.output.text_table import counted, text_table

FEW_SEEDS = 3
"""With fewer, what differs may be the seed's doing."""


class ArmResult(Report):
    """How one arm did."""

    arm: str
    about: str
    by_seed: list[int]
    """Successes under each seed."""
    episodes: int
    """Played under each seed."""
    rate: float
    low: float
    high: float
    """Of all plays (Wilson, 95 %): what these very policies are worth."""
    seeds_low: float | None
    seeds_high: float | None
    """For other seeds and starts (Wilson with Student's t, 95 %): what the recipe is worth; None for one seed."""
    by_task: dict[str, int]
    """Successes of all seeds."""
    difference: float | None = None
    """Rate less the reference's, on the same starts; None for the reference."""
    difference_low: float | None = None
    difference_high: float | None = None
    """95 %, by bootstrap over starts and seeds."""
    alone: int = 0
    """Plays that it solves and the reference does not, under the same seed."""
    reference_alone: int = 0
    published: dict[str, float] = Field(default_factory=dict)
    """Percent, by where it was measured: other robots and data, so a shape to compare and no target."""


class AblationReport(Report):
    """All arms, in the order of their recipes."""

    corpus: str
    simulator: str
    tasks: list[str]
    reference: str
    seeds: int
    arms: list[ArmResult]
    out: str

    def head(self) -> list[str]:
        """Name the columns of the table."""
        against = f"less {self.reference}, points (bootstrap)"
        return [
            "arm",
            f"of {self.arms[0].episodes}, by seed",
            "all (Wilson)",
            "over seeds (Wilson, t)",
            against,
            "alone",
            *self._published(),
        ]

    def rows(self) -> list[list[object]]:
        """Give a row for each arm."""
        return [
            [
                a.arm,
                " ".join(map(str, a.by_seed)),
                f"{a.rate:.1%} ({a.low:.0%} to {a.high:.0%})",
                "-" if a.seeds_low is None else f"{a.seeds_low:.0%} to {a.seeds_high:.0%}",
                _difference(a),
                "-" if a.difference is None else f"{a.alone} v {a.reference_alone}",
                *(f"{a.published[where]:g} %" if where in a.published else "-" for where in self._published()),
            ]
            for a in self.arms
        ]

    def task_rows(self) -> list[list[object]]:
        """Give a row for each arm with the successes of every task."""
        return [[a.arm, *(a.by_task[task] for task in self.tasks)] for a in self.arms]

    def notes(self) -> list[str]:
        """Say what the numbers do not show."""
        lines = []
        if self.seeds < FEW_SEEDS:
            lines.append(
                f"{counted(self.seeds, 'seed')}: single trainings differ by several points; a claim needs three or more"
            )
        if self._published():
            lines.append("published numbers are of other robots, data and sizes: compare their order, not their height")
        return lines

    def summary(self) -> str:
        """Print both tables."""
        tables = [text_table(self.head(), self.rows()), text_table(["arm", *self.tasks], self.task_rows())]
        notes = [f"note: {note}" for note in self.notes()]
        return "\n".join([*tables, *notes, f"page: {self.out}/index.html"])

    def _published(self) -> list[str]:
        return list(dict.fromkeys(f"{where}" for a in self.arms for where in a.published))


def _difference(arm: ArmResult) -> str:
    if arm.difference is None or arm.difference_low is None or arm.difference_high is None:
        return "-"
    low, high = 100 * arm.difference_low, 100 * arm.difference_high
    return f"{100 * arm.difference:+.1f} ({low:+.1f} to {high:+.1f})"


def make_report(
    config: AblateConfig, arms: Mapping[str, Arm], reference: str, solved: Mapping[str, Mapping[str, Solved]]
) -> AblationReport:
    """Compare every arm with the reference; `solved` holds (seeds, starts) by arm and task."""
    tasks = list(solved[reference])
    joined = {name: np.concatenate([of_name[task] for task in tasks], axis=1) for name, of_name in solved.items()}
    results = [
        _result(name, arm, joined[name], None if name == reference else joined[reference], tasks, solved[name])
        for name, arm in arms.items()
    ]
    return AblationReport(
        corpus=config.corpus,
        simulator=config.simulator,
        tasks=tasks,
        reference=reference,
        seeds=config.seeds,
        arms=results,
        out=str(config.out),
    )


def _result(
    name: str, arm: Arm, solved: Solved, reference: Solved | None, tasks: Sequence[str], by_task: Mapping[str, Solved]
) -> ArmResult:
    low, high = wilson(int(solved.sum()), solved.size)
    over_seeds = rate_over_seeds(solved)
    difference = Estimate(0.0, None, None) if reference is None else paired_difference(solved, reference)
    alone = (0, 0) if reference is None else only_one(solved, reference)
    return ArmResult(
        arm=name,
        about=arm.about,
        by_seed=[int(row.sum()) for row in solved],
        episodes=solved.shape[1],
        rate=float(solved.mean()),
        low=low,
        high=high,
        seeds_low=over_seeds.low,
        seeds_high=over_seeds.high,
        by_task={task: int(by_task[task].sum()) for task in tasks},
        difference=None if reference is None else difference.value,
        difference_low=difference.low,
        difference_high=difference.high,
        alone=alone[0],
        reference_alone=alone[1],
        published=arm.published,
    )
