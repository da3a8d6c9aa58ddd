"""What a pipeline reports: each stage, whether it is done, why it would run, what it found."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from dataengine.report import Report
from pipelines.output.text_table import human_seconds, text_table

FIGURES: Mapping[str, tuple[str, ...]] = {
    "ingest": ("episodes", "steps", "rejected_records", "rejected_parts", "skipped_parts"),
    "hands": ("clips", "with_hands", "known", "unreadable"),
    "curate": ("kept", "dropped", "trimmed"),
    "stats": ("episodes", "steps", "steps_not_finite"),
    "train": ("step", "parameters", "train_episodes", "held_out_episodes"),
    "finetune": ("step", "parameters", "train_episodes", "held_out_episodes"),
    "label": ("name", "episodes", "already", "unreadable"),
    "shard": ("shards", "episodes", "steps"),
    "export": ("episodes", "steps"),
}
"""Counts of a command's report that say what came of it."""
LOSSES = ("loss", "val_loss")


def figures(command: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the figures of a command's report that a person asks for first."""
    picked = {key: report[key] for key in FIGURES.get(command.split()[0], ()) if report.get(key) not in (None, "")}
    if "datasets" in report and "episodes" not in picked and command == "ingest":
        for key in FIGURES["ingest"]:
            picked[key] = sum(each.get(key, 0) for each in report["datasets"])
    metrics = report.get("metrics") or {}
    picked |= {key: metrics[key] for key in LOSSES if isinstance(metrics.get(key), int | float)}
    results = report.get("results")
    if command == "eval" and isinstance(results, list):
        picked["solved"] = f"{sum(r['successes'] for r in results)}/{sum(r['episodes'] for r in results)}"
    return picked


def notes(report: Mapping[str, Any]) -> list[str]:
    """Take out of a command's report what a person must see: parts that were left as they are, warnings."""
    each = [report, *(d for d in report.get("datasets", []) if isinstance(d, dict))]
    changes = [change for one in each for change in one.get("changes", [])]
    left = [f"{c['reason']}, left as they are: {len(c['parts'])} parts; {c['advice']}" for c in changes]
    warnings = report.get("warnings", [])
    return [*left, *(text for text in warnings if isinstance(text, str))]


class StageFacts(Report):
    """One stage."""

    stage: str
    command: str
    state: str
    """`done`, `running`, `failed`, `waiting`; when nothing is run `to run` and `may run`, too."""
    why: list[str] = Field(default_factory=list)
    """Why it is to run."""
    seconds: float = 0.0
    """At work, over all calls."""
    ran: bool = False
    """In this call."""
    figures: dict[str, Any] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    page: str = ""
    """Its own report, if it wrote one."""
    log: str = ""
    line: str = ""
    """Its command line, as it was run last."""
    error: str = ""

    def says(self) -> str:
        """Say what came of it, or why it is to run."""
        if self.error:
            return self.error
        if self.why:
            return "; ".join(self.why)
        return ", ".join(f"{key} {_short(value)}" for key, value in self.figures.items())


class PipelineReport(Report):
    """A whole pipeline."""

    file: str
    out: str
    page: str = ""
    """Status page."""
    stages: list[StageFacts] = Field(default_factory=list)
    dry_run: bool = False
    status: bool = False
    """States are as they were noted; nothing was compared with what is there now."""
    left_out: list[str] = Field(default_factory=list)
    """Stages that `until` or `only` left as they were."""
    seconds: float = 0.0

    def summary(self) -> str:
        """Print a row for each stage, and how far it is."""
        rows = [
            [s.stage, s.command, s.state, human_seconds(s.seconds) if s.seconds else "", s.says()] for s in self.stages
        ]
        did = [f"{s.stage}: {note}" for s in self.stages for note in s.notes]
        return "\n".join([text_table(["stage", "command", "state", "time", ""], rows), *did, self._last_line()])

    def _last_line(self) -> str:
        done = sum(s.state == "done" for s in self.stages)
        if self.dry_run:
            to_run = [s.stage for s in self.stages if s.state == "to run"]
            may = sum(s.state == "may run" for s in self.stages)
            if not to_run:
                return f"nothing to do: all {done} stages are done"
            depend = f", {may} depend on what these make" if may else ""
            return f"to run: {', '.join(to_run)}{depend}; {done} are done"
        if self.status:
            return f"{done} of {len(self.stages)} stages done; --dry-run says what changed since; status: {self.page}"
        meant = [s for s in self.stages if s.stage not in self.left_out]
        ran, done = sum(s.ran for s in meant), sum(s.state == "done" for s in meant)
        left_out = f"; left as they were: {', '.join(self.left_out)}" if self.left_out else ""
        if done == len(meant) and not ran:
            return f"nothing to do: all {done} stages are done{left_out}; status: {self.page}"
        return f"{done} of {len(meant)} stages done, {ran} of them now{left_out}; status: {self.page}"


def _short(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
