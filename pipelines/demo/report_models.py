"""The model half of the demo's page: both trainings, what the latents know, and the plans that they draw."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.demo.summary import ActRun, DemoSummary, LamRun
from pipelines.html import charts, curves
from pipelines.html.page import remarked
from pipelines.html.templates import macros

TEMPLATE = "demo/report_models.html"

LAM_CURVES = {
    "visual_over_copy": "Error of the next frame, as a share of copying",
    "state": "Error of the states that the robot comes to",
    "action": "Error of the actions that lead there",
    "loss": "Training loss; it rises when latents are first rounded to codes",
}
"""Figures of metrics.jsonl that are drawn, if they are there, and what they are called."""
ACT_CURVES = {"robot": "Flow loss of robot actions", "latent": "Flow loss of latent actions", "loss": "Training loss"}


@dataclass(frozen=True)
class Table:
    """Rows below their heads; without rows it is not shown."""

    head: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = field(default_factory=list)


def lam(summary: DemoSummary, run_dir: Path) -> str:
    """Loss curves, errors against copying, codebook use, pictures."""
    if not summary.lam:
        return ""
    rows = [[r.name, r.proprio, r.steps, r.parameters, r.seconds] for r in summary.lam]
    top = max((max(v.model, v.shuffled) for run in summary.lam for v in run.visual), default=1.0)
    visuals = [
        charts.bar_chart(
            run.name,
            {v.embodiment: [charts.Value(v.model), charts.Value(v.shuffled)] for v in run.visual},
            ["own latents", "shuffled latents"],
            y_label="error, share of copying",
            line_at=1.0,
            top=top,
        )
        for run in summary.lam
    ]
    drawings = _curves(summary.lam, LAM_CURVES, run_dir)
    return macros(TEMPLATE).lam(
        run_dir, rows, drawings, visuals, _codebook(summary.lam), summary.lam, _last_figures(summary.lam)
    )


def _codebook(runs: Sequence[LamRun]) -> Table:
    """Show how many codes of each slot are in use."""
    slots = max((len(run.codebook) for run in runs), default=0)
    if not slots:
        return Table()
    rows = [
        [run.name, *(remarked(f"{s.used} of {s.size}", f"{s.perplexity:.1f}") for s in run.codebook)]
        for run in runs
        if len(run.codebook) == slots
    ]
    return Table(["model", *(f"slot {i + 1}" for i in range(slots))], rows)


def _last_figures(runs: Sequence[LamRun | ActRun]) -> Table:
    """Lay the last entries of the metrics files side by side."""
    names = sorted({name for run in runs for name in run.metrics} - {"step"})
    rows = [[name, *(run.metrics.get(name, "") for run in runs)] for name in names]
    return Table(["figure", *(r.name for r in runs)], rows)


def probe(summary: DemoSummary) -> str:
    """Errors of actions read from frozen latents."""
    if not summary.probe:
        return ""
    order = {run.name: i for i, run in enumerate(summary.lam)}  # colours as in the curves above
    names = sorted(dict.fromkeys(p.lam for p in summary.probe), key=lambda name: order.get(name, len(order)))
    by = {(p.lam, p.embodiment): p for p in summary.probe}
    groups = {}
    for embodiment in dict.fromkeys(p.embodiment for p in summary.probe):
        probes = [by.get((name, embodiment)) for name in names]
        one = next(p for p in probes if p)
        bars = [charts.Value(p.error, p.error - p.spread, p.error + p.spread) if p else None for p in probes]
        groups[embodiment] = [*bars, charts.Value(one.trivial), charts.Value(one.best)]
    bars_of = [*names, "median action", "true change"]
    drawing = charts.bar_chart("Error of the actions", groups, bars_of, y_label="mean absolute, normalised")
    rows = [[p.embodiment, p.lam, p.error, p.spread, p.trivial, p.best] for p in summary.probe]
    return macros(TEMPLATE).probe(drawing, rows)


def act(summary: DemoSummary, run_dir: Path) -> str:
    """Loss curves of the policies."""
    if not summary.act:
        return ""
    rows = [[r.name, r.use_latent, r.steps, r.parameters, r.seconds] for r in summary.act]
    return macros(TEMPLATE).act(rows, _curves(summary.act, ACT_CURVES, run_dir), _last_figures(summary.act))


def plans(summary: DemoSummary, run_dir: Path) -> str:
    """Show what the policy intends, drawn by the decoder of the latent action model."""
    return macros(TEMPLATE).plans(run_dir, summary.plans) if summary.plans else ""


def _curves(runs: Iterable[LamRun | ActRun], titles: Mapping[str, str], run_dir: Path) -> list[str]:
    """Draw every known figure that the metrics files hold, the runs over one another."""
    logged = {run.name: curves.read(run_dir / run.curve) for run in runs if run.curve}
    drawings = []
    for key, title in titles.items():
        lines, held_out_lines = [], []
        for name, records in logged.items():
            points = curves.points(records, key)
            if len(points) > 1:
                lines.append(curves.smooth(name, points))
            held_out = curves.points(records, f"val_{key}")  # always of the same windows, so it is smooth as it is
            if len(held_out) > 1:
                steps, losses = zip(*held_out, strict=True)
                held_out_lines.append(charts.Series(f"{name}, held out", steps, losses))
        lines += held_out_lines  # behind the others, whose colours are those of the runs all over the page
        drawings.append(charts.line_chart(title, lines, x_label="step", log=True) if lines else "")
    return [drawing for drawing in drawings if drawing]
