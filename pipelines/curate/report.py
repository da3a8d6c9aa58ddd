"""What `villa curate` reports: counts by rule and dataset, or one episode's numbers and verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from dataengine.report import Report
from pipelines.curate.measure import ERROR
from pipelines.output.text_table import text_table

DATASETS_NAMED = 3
"""Datasets that a line names; it counts the others."""


class CoverageShare(Report):
    """Episodes of which a rule has the same to say."""

    is_checked: bool
    text: str
    """Why it could not check them; or by what it checked them, or which part of them."""
    episodes: int
    by_dataset: dict[str, int]

    def line(self, asked: int) -> str:
        """Print it, beside the number of episodes that the rule was asked about."""
        count = f"all {asked:,}" if self.episodes == asked else f"{self.episodes:,} of {asked:,}"
        most = sorted(self.by_dataset.items(), key=lambda each: (-each[1], each[0]))
        named = ", ".join(f"{name} {episodes:,}" for name, episodes in most[:DATASETS_NAMED])
        more = f" and {len(most) - DATASETS_NAMED} more" if len(most) > DATASETS_NAMED else ""
        said = f"checked {self.text}" if self.is_checked else f"not checked: {self.text}"
        return f"{count} episodes {said} ({named}{more})"


class RuleFacts(Report):
    """What one rule did."""

    rule: str
    checked: int
    """Episodes of its kinds that no rule before it had dropped, and that it could check."""
    not_checked: int = 0
    """Those that it could not check."""
    dropped: int
    """Episodes for which it was the first to object."""
    example: str = ""
    """One of the reasons that it gave."""
    coverage: list[CoverageShare] = Field(default_factory=list)
    """Why it could not check some, and by what else than its usual measure it checked others."""
    notes: list[str] = Field(default_factory=list)
    """What else it has to say, such as what is wrong with a whole dataset."""

    def lines(self) -> list[str]:
        """Print what must be known of it beside its counts, a line each."""
        return [*(share.line(self.checked + self.not_checked) for share in self.coverage), *self.notes]


class CurateReport(Report):
    """What was measured, and what stays."""

    corpus: str
    recipe: str
    episodes: int
    kept: int
    dropped: int
    rules: list[RuleFacts] = Field(default_factory=list)
    kept_by_dataset: dict[str, int] = Field(default_factory=dict)
    dropped_by_dataset: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Dataset to rule to episodes; `unreadable` stands for those that could not be measured."""
    trimmed: int = 0
    """Kept episodes without some steps at their ends."""
    steps_trimmed: int = 0
    measured: int
    """Episodes measured by this call; those measured before were not read again."""
    unreadable: int
    """Episodes dropped because a stage could not measure them."""
    page: str = ""
    """Where the page with examples lies; empty where none was asked for."""
    seconds: float

    def summary(self) -> str:
        """Print a row per rule, then one per dataset that lost episodes."""
        rows = [[r.rule, r.checked, r.not_checked, r.dropped, r.example] for r in self.rules]
        lost = [[n, self.kept_by_dataset[n], _listed(rules)] for n, rules in self.dropped_by_dataset.items() if rules]
        trimmed = f", {self.trimmed} of them without {self.steps_trimmed} idle steps" if self.trimmed else ""
        kept = f"kept {self.kept} of {self.episodes} episodes{trimmed}"
        lines = [text_table(["rule", "checked", "not checked", "dropped", "example"], rows), ""]
        if lost:
            lines += [text_table(["dataset", "kept", "dropped"], lost), ""]
        lines += notes_together({r.rule: r.lines() for r in self.rules})
        lines.append(f"{kept}; measured {self.measured} in {self.seconds:.1f} s")
        if self.page:
            lines.append(f"examples to look at: {self.page}")
        if self.unreadable:
            lines.append(f"{self.unreadable} episodes could not be measured and were dropped; see column {ERROR}")
        return "\n".join(lines)


class Verdict(Report):
    """One rule on one episode."""

    rule: str
    numbers: dict[str, float | None]
    """What was measured; null where a number has no meaning for this episode."""
    thresholds: dict[str, Any]
    bounds: dict[str, str] = Field(default_factory=dict)
    """Threshold to the number that it bounds."""
    checked: bool = True
    """Whether the rule could check the episode."""
    coverage: str = ""
    """Why it could not; or by what it did, or which part, where that is not its usual measure."""
    reason: str | None
    """Why the episode must go; null if the rule has no objection."""
    warning: str | None = None
    """What somebody should know of an episode that the rule keeps all the same."""


class ExplainReport(Report):
    """One episode's numbers and what every rule says about them."""

    episode_id: str
    dataset: str
    recipe: str
    """Whose rules these are."""
    keep: bool
    reason: str
    trimmed: tuple[int, int] = (0, 0)
    """Steps that are left out at the head and at the tail."""
    verdicts: list[Verdict]

    def summary(self) -> str:
        """Print the numbers of each rule with what bounds them, and the conclusion."""
        rows = [row for verdict in self.verdicts for row in _explained(verdict)]
        table = text_table(["rule", "number", "value", "bound", "says"], rows)
        cut = f", without {self.trimmed[0]} and {self.trimmed[1]} steps at its ends" if any(self.trimmed) else ""
        end = f"kept{cut}" if self.keep else f"dropped: {self.reason}"
        return f"{table}\nepisode {self.episode_id} of {self.dataset}, by recipe {self.recipe}: {end}"


def _explained(verdict: Verdict) -> list[list[str]]:
    """Print one rule's view of an episode: a row for each number, and what it says beside the first."""
    rows = []
    known = {name: value for name, value in verdict.numbers.items() if value is not None}
    for name, value in known.items():
        bounds = ", ".join(
            f"{t} {shown_threshold(verdict.thresholds[t])}" for t, bounded in verdict.bounds.items() if bounded == name
        )
        rows.append(["", name, f"{value:.4g}", bounds, ""])
    rows = rows or [["", "", "", "", ""]]
    rows[0][0], rows[0][-1] = verdict.rule, _says(verdict)
    return rows


def shown_threshold(value: Any) -> str:
    """Print a number shortly, a list by its length."""
    return f"of {len(value)} words" if isinstance(value, list | tuple) else f"{value:g}"


def _says(verdict: Verdict) -> str:
    """Sum up what a rule says of an episode."""
    if verdict.reason:
        return verdict.reason
    if not verdict.checked:
        return f"not checked: {verdict.coverage}"
    fine = f"fine, checked {verdict.coverage}" if verdict.coverage else "fine"
    return f"{fine}, but {verdict.warning}" if verdict.warning else fine


def notes_together(lines_of: Mapping[str, Sequence[str]]) -> list[str]:
    """Print what rules have to say beside their counts, by rule; what several say alike, once."""
    said: dict[str, list[str]] = {}
    for rule, lines in lines_of.items():
        for line in lines:
            said.setdefault(line, []).append(rule)
    return [f"{', '.join(rules)}: {line}" for line, rules in said.items()]


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in counts.items())
