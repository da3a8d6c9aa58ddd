"""What the probes read, as one object: errors with intervals, and how variants compare, seed by seed."""

from collections import Counter
from typing import Literal

from pydantic import Field

from dataengine.report import Report
from dataengine.vector_layout import GROUPS
from pipelines.output.text_table import text_table

Over = Literal["training seeds", "probe seeds"]
Interval = tuple[float, float]

MEAN = "mean"
"""Stands for the mean over embodiments."""


class Readout(Report):
    """How well one input tells the actions, on held-out episodes; errors in normalised units."""

    source: str
    """A latent action model, a variant of several, or one of the two yardsticks."""
    models: list[str] = Field(default_factory=list)
    """Directories or labels, one for each training seed; none for a yardstick."""
    over: Over
    """What the seeds below are: with several models of a variant, each is one model's mean over its probes."""
    l1: float
    """Mean absolute error over steps and dimensions, averaged over seeds."""
    l1_seeds: list[float]
    l1_spread: float
    """Standard deviation over seeds."""
    l1_interval: Interval | None
    """95 % t-interval of the mean over seeds; None with one seed."""
    groups: dict[str, float]
    """Mean absolute error of positions, angles, joints and grippers, where the action has them."""
    group_seeds: dict[str, list[float]]
    group_intervals: dict[str, Interval | None]
    small_errors: float
    """Share of pairs whose largest error is below 0.5."""
    small_errors_seeds: list[float]
    histogram: list[float]
    """Share of pairs by largest error, in bins of 0.05; the last holds all above 1."""


class EmbodimentReadouts(Report):
    """All readouts on one embodiment."""

    embodiment: str
    datasets: list[str]
    """Which show it here."""
    unseen_by: list[str] = Field(default_factory=list)
    """Models or variants whose training saw none of these datasets."""
    unknown_to: list[str] = Field(default_factory=list)
    """Those whose files do not tell what they were trained on."""
    steps: int
    """Control steps K that one latent action spans."""
    dims: int
    """Action dimensions that vary."""
    train_episodes: int
    held_out_episodes: int
    train_pairs: int
    held_out_pairs: int
    readouts: list[Readout]

    def status(self, variants: list[str]) -> str:
        """Say whether training saw this embodiment."""
        if not self.unseen_by:
            return f"not known whether {', '.join(self.unknown_to)} saw it" if self.unknown_to else "trained on"
        if len(self.unseen_by) == len(variants):
            return "unseen in training"
        return f"unseen in training by {', '.join(self.unseen_by)}"


class Comparison(Report):
    """One variant against the first: relative change of the error, seed by seed; negative is better."""

    lam: str
    versus: str
    embodiment: str
    """`mean` for the mean over embodiments, each weighing the same."""
    over: Over
    change: float
    """Mean of the changes below."""
    change_seeds: list[float]
    interval: Interval | None
    """95 % t-interval of the mean change over seeds; None with one seed."""
    lower: int
    """Seeds in which the error is lower."""
    groups: dict[str, float]
    group_seeds: dict[str, list[float]]
    group_intervals: dict[str, Interval | None]
    histogram: list[float]
    """Share of pairs in each bin of largest errors, less that of the other variant."""

    @property
    def as_text(self) -> str:
        """Say it in a line."""
        n, kind = len(self.change_seeds), self.over.removesuffix("s") if len(self.change_seeds) == 1 else self.over
        seeds = ", ".join(f"{x:+.1%}" for x in self.change_seeds)
        within = f", 95 % interval {self.interval[0]:+.1%} to {self.interval[1]:+.1%}" if self.interval else ""
        groups = "".join(
            f"; {name} {change:+.1%}, lower in {sum(x < 0 for x in self.group_seeds[name])} of {n}"
            for name, change in self.groups.items()
        )
        return f"{self.change:+.1%}{within}, lower in {self.lower} of {n} {kind} ({seeds}){groups}"


class ProbeReport(Report):
    """What the probes read."""

    corpus: str
    lams: list[str]
    """Titles of the models or variants."""
    training_seeds: int = 1
    """Models of each variant."""
    interval_s: float
    seeds: int
    """Probes for each model."""
    epochs: int
    embodiments: list[EmbodimentReadouts]
    comparisons: list[Comparison] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    """Embodiments left out or evaluated on episodes that the models may have seen, and why."""
    page: str = ""
    seconds: float

    @property
    def titles(self) -> list[str]:
        """Name the embodiments; with the steps K where one moves at two rates."""
        return named(self.embodiments)

    @property
    def about_seeds(self) -> str:
        """Say what the intervals are over."""
        if self.training_seeds > 1:
            probes = f"each the mean of {self.seeds} probes" if self.seeds > 1 else "one probe each"
            return f"Intervals: 95 % t-intervals of the mean over {self.training_seeds} training seeds, {probes}."
        if self.seeds > 1:
            return (
                f"Intervals: 95 % t-intervals of the mean over {self.seeds} probe seeds of one model: "
                f"they say nothing of another training seed."
            )
        return "One training seed and one probe seed: there are no intervals."

    def summary(self) -> str:
        """Print a row per embodiment and readout, then the comparisons."""
        names = [name for name in GROUPS if any(name in r.groups for e in self.embodiments for r in e.readouts)]
        rows = [
            [title, r.source, f"{r.l1:.3f}{plus_minus(r.l1, r.l1_interval)}"]
            + [f"{r.groups[g]:.3f}" if g in r.groups else "-" for g in names]
            + [f"{r.small_errors:.1%}"]
            for title, e in zip(self.titles, self.embodiments, strict=True)
            for r in e.readouts
        ]
        lines = [text_table(["embodiment", "read from", "L1", *names, "max error < 0.5"], rows), self.about_seeds]
        for title, e in zip(self.titles, self.embodiments, strict=True):
            if e.unseen_by:
                lines.append(f"{title}: {e.status(self.lams)}")
        lines += [f"{c.lam} against {c.versus}, {c.embodiment}: {c.as_text}" for c in self.comparisons]
        page = f"{self.page} " if self.page else ""
        return "\n".join([*lines, *self.notes, f"{page}({self.seconds:.1f} s)"])


def named(embodiments: list[EmbodimentReadouts]) -> list[str]:
    """Name each entry so that no two are alike."""
    counts = Counter(e.embodiment for e in embodiments)
    return [f"{e.embodiment}, K = {e.steps}" if counts[e.embodiment] > 1 else e.embodiment for e in embodiments]


def plus_minus(middle: float, interval: Interval | None) -> str:
    """Print half of a symmetric interval."""
    return f" +- {interval[1] - middle:.3f}" if interval else ""
