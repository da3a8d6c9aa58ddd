"""The model half of the demo's page: both trainings, what the latents know, and the plans that they draw."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.demo.summary import ActRun, DemoSummary, LamRun
from pipelines.html import charts, page

LAM_CURVES = {
    "visual_over_copy": "Error of the next frame, as a share of copying",
    "state": "Error of the states that the robot comes to",
    "action": "Error of the actions that lead there",
    "loss": "Training loss; it rises when latents are first rounded to codes",
}
"""Figures of metrics.jsonl that are drawn, if they are there, and what they are called."""
ACT_CURVES = {"robot": "Flow loss of robot actions", "latent": "Flow loss of latent actions", "loss": "Training loss"}

RECONSTRUCTION_COLUMNS = ("now", "next", "model", "error of a copy", "error of the model")

MAX_POINTS = 240
SMOOTHING = 0.9
"""Share of the running mean that a new point keeps."""


def lam(summary: DemoSummary, run_dir: Path) -> list[str]:
    """Loss curves, errors against copying, codebook use, pictures."""
    if not summary.lam:
        return []
    runs = [[r.name, r.proprio, r.steps, r.parameters, r.seconds] for r in summary.lam]
    blocks: list[str] = [
        page.paragraph(
            "A latent action model says with a few codes what happens between two frames. It learns by drawing the "
            "second frame from the first and the codes. One of the two models also predicts the robot's states and "
            "actions from the codes (the proprio model), so that they mean motion of the robot, and not any change of "
            "the picture."
        ),
        page.table(["model", "with the proprio model", "steps", "parameters", "seconds"], runs),
        page.charts(*_curves(summary.lam, LAM_CURVES, run_dir)),
        page.heading("Is the drawn frame better than a copy, and does it come from the codes?"),
        page.paragraph(
            "Squared error on held-out episodes, divided by that of copying the current frame: below the dashed line "
            "the drawn frame is better than a copy. With the latents of other pairs (shuffled) the error should come "
            "back to the line or above it; where it stays as low, the model ignores its latents."
        ),
    ]
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
    blocks.append(page.charts(*visuals))
    blocks += _codebook(summary.lam)
    blocks += _reconstructions(summary.lam, run_dir)
    blocks += _figures(summary.lam)
    blocks.append(
        page.note(
            "Known limits at this size.",
            [
                "Drawn frames are blurred: the model is small, and pixels are compared one by one.",
                "A camera that moves looks like an arm that moves; the model does not tell them apart.",
            ],
            limits=True,
        )
    )
    return blocks


def _reconstructions(runs: Sequence[LamRun], run_dir: Path) -> list[str]:
    """Show pairs of frames beside what the models draw."""
    pictures = [
        page.picture(run_dir / run.reconstructions, run.name, columns=RECONSTRUCTION_COLUMNS)
        for run in runs
        if run.reconstructions
    ]
    if not pictures:
        return []
    return [
        page.heading("Held-out pairs of frames"),
        page.paragraph(
            "A row is a pair of frames: now and next. The third picture is what the model draws from the first "
            "and the latent action alone. The last two show where a copy and the drawing are wrong, three times "
            "as bright."
        ),
        page.gallery(pictures, at_least_px=480),
    ]


def _codebook(runs: Sequence[LamRun]) -> list[str]:
    """Show how many codes of each slot are in use."""
    slots = max((len(run.codebook) for run in runs), default=0)
    if not slots:
        return []
    rows = [
        [run.name, *(page.Html(f"{s.used} of {s.size} <small>{s.perplexity:.1f}</small>") for s in run.codebook)]
        for run in runs
        if len(run.codebook) == slots
    ]
    words = (
        "How many codes of each slot occur on held-out pairs, and in small figures their perplexity: the number of "
        "codes that, used equally often, would say as much. Few codes in use mean that the codebook has collapsed."
    )
    head = ["model", *(f"slot {i + 1}" for i in range(slots))]
    return [page.heading("Codebook use"), page.paragraph(words), page.table(head, rows)]


def _figures(runs: Sequence[LamRun | ActRun]) -> list[str]:
    """Lay the last entries of the metrics files side by side, folded away."""
    names = sorted({name for run in runs for name in run.metrics} - {"step"})
    if not names:
        return []
    rows = [[name, *(run.metrics.get(name, "") for run in runs)] for name in names]
    return [
        page.folded(
            "All figures of the last step that was logged", page.table(["figure", *(r.name for r in runs)], rows)
        )
    ]


def probe(summary: DemoSummary) -> list[str]:
    """Errors of actions read from frozen latents."""
    if not summary.probe:
        return []
    order = {run.name: i for i, run in enumerate(summary.lam)}  # colours as in the curves above
    names = sorted(dict.fromkeys(p.lam for p in summary.probe), key=lambda name: order.get(name, len(order)))
    bodies = list(dict.fromkeys(p.embodiment for p in summary.probe))
    by = {(p.lam, p.embodiment): p for p in summary.probe}
    groups = {}
    for body in bodies:
        found = [by.get((name, body)) for name in names]
        one = next(p for p in found if p)
        bars = [charts.Value(p.error, p.error - p.spread, p.error + p.spread) if p else None for p in found]
        groups[body] = [*bars, charts.Value(one.trivial), charts.Value(one.best)]
    rows = [[p.embodiment, p.lam, p.error, p.spread, p.trivial, p.best] for p in summary.probe]
    return [
        page.paragraph(
            "A small network is trained to tell the robot's actions from latent actions, and judged on held-out "
            "episodes; lower is better. Two errors to compare with stand beside it: that of always saying the median "
            "action, which takes no latent at all, and that of the same network given the true change of state, which "
            "is about the best that can be reached."
        ),
        charts.bar_chart(
            "Error of the actions",
            groups,
            [*names, "median action", "true change"],
            y_label="mean absolute, normalised",
        ),
        page.table(["embodiment", "model", "error", "spread over probe seeds", "median action", "true change"], rows),
    ]


def act(summary: DemoSummary, run_dir: Path) -> list[str]:
    """Loss curves of the policies."""
    if not summary.act:
        return []
    runs = [[r.name, r.use_latent, r.steps, r.parameters, r.seconds] for r in summary.act]
    return [
        page.paragraph(
            "The policy plans latent actions and robot actions together, from pictures, the robot's state and an "
            "instruction. Its twin has no part for latent actions (no latent expert), and so learns nothing from "
            "clips of people; the rest is trained alike."
        ),
        page.table(["policy", "latent expert", "steps", "parameters", "seconds"], runs),
        page.charts(*_curves(summary.act, ACT_CURVES, run_dir)),
        *_figures(summary.act),
    ]


def plans(summary: DemoSummary, run_dir: Path) -> list[str]:
    """Show what the policy intends, drawn by the decoder of the latent action model."""
    if not summary.plans:
        return []
    words = (
        "What the policy intends to do. Upper row: what happened in the recording. Lower row: the first frame is "
        "real; the latent action model draws each next one from the one before and the policy's plan."
    )
    pictures = [page.picture(run_dir / p.image, p.caption) for p in summary.plans]
    return [page.paragraph(words), page.gallery(pictures, at_least_px=320)]


def _curves(runs: Iterable[LamRun | ActRun], titles: Mapping[str, str], run_dir: Path) -> list[str]:
    """Draw every known figure that the metrics files hold, the runs over one another."""
    logged = {run.name: _read_curve(run_dir / run.curve) for run in runs if run.curve}
    drawings = []
    for key, title in titles.items():
        lines = []
        for name, records in logged.items():
            points = [(float(r["step"]), float(r[key])) for r in records if isinstance(r.get(key), int | float)]
            if len(points) > 1:
                lines.append(_smooth(name, points))
        drawings.append(charts.line_chart(title, lines, x_label="step", log=True) if lines else "")
    return [drawing for drawing in drawings if drawing]


def _read_curve(file: Path) -> list[dict[str, Any]]:
    """Read a metrics file; a line cut off by a kill is left out."""
    records = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return sorted(records, key=lambda record: record["step"])


def _smooth(name: str, points: Sequence[tuple[float, float]]) -> charts.Series:
    """Take a running mean and thin it out, so that a noisy curve can be read."""
    mean, weight, smooth = 0.0, 0.0, []
    for _, y in points:
        mean, weight = SMOOTHING * mean + (1 - SMOOTHING) * y, SMOOTHING * weight + 1 - SMOOTHING
        smooth.append(mean / weight)
    every = max(len(points) // MAX_POINTS, 1)
    return charts.Series(name, [x for x, _ in points][::every], smooth[::every])
