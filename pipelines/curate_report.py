"""What `villa curate` reports: counts by rule and dataset, or one episode's numbers and verdicts."""

from typing import Any

from pydantic import Field

from dataengine.report import Report
from pipelines.curate_measure import ERROR
from pipelines.text_table import text_table


class RuleFacts(Report):
    """What one rule did."""

    rule: str
    judged: int
    """Episodes of the kinds it is for."""
    dropped: int
    """Episodes for which it was the first to object."""
    example: str = ""
    """One of the reasons that it gave."""
    notes: list[str] = Field(default_factory=list)
    """What it could not judge, or found wrong with a whole dataset."""


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
        rows = [[r.rule, r.judged, r.dropped, r.example] for r in self.rules]
        lost = [[n, self.kept_by_dataset[n], _listed(rules)] for n, rules in self.dropped_by_dataset.items() if rules]
        trimmed = f", {self.trimmed} of them without {self.steps_trimmed} idle steps" if self.trimmed else ""
        kept = f"kept {self.kept} of {self.episodes} episodes{trimmed}"
        lines = [text_table(["rule", "judged", "dropped", "example"], rows)]
        if lost:
            lines += ["", text_table(["dataset", "kept", "dropped"], lost), ""]
        lines += [f"{r.rule}: {note}" for r in self.rules for note in r.notes]
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
    judged: bool = True
    """Whether the rule is for episodes of this kind."""
    reason: str | None
    """Why the episode must go; null if the rule has no objection or is not for this kind."""


class ExplainReport(Report):
    """One episode's numbers and what every rule says about them."""

    episode_id: str
    dataset: str
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
        return f"{table}\nepisode {self.episode_id} of {self.dataset}: {end}"


def _explained(verdict: Verdict) -> list[list[str]]:
    """Print one rule's view of an episode: a row for each number, and what it says beside the first."""
    if not verdict.judged:
        return [[verdict.rule, "", "", "", "not for this kind"]]
    rows = []
    known = {name: value for name, value in verdict.numbers.items() if value is not None}
    for name, value in (known or verdict.numbers).items():
        bounds = ", ".join(f"{t} {verdict.thresholds[t]:g}" for t, bounded in verdict.bounds.items() if bounded == name)
        rows.append(["", name, "-" if value is None else f"{value:.4g}", bounds, ""])
    rows = rows or [["", "", "", "", ""]]
    rows[0][0], rows[0][-1] = verdict.rule, verdict.reason or "fine"
    return rows


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in counts.items())
