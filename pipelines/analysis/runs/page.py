"""The page of `villa runs compare`: one file of HTML with every curve that the runs have in common."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.analysis.runs import groups
from pipelines.analysis.runs.groups import HeldOut
from pipelines.analysis.runs.run import Run
from pipelines.html import charts, curves
from pipelines.html.page import Section, page
from pipelines.html.templates import macros
from pipelines.output.folder import OutputFolder

TEMPLATE = "analysis/runs/page.html"
TITLE = "Trainings side by side"
OF_SPEED = ("samples_per_s", "mfu", "data_wait", "loader_wait_ms", "memory_gb", "steps_per_s")
OF_OPTIMISER = ("lr", "grad_norm", "skipped_steps")


def write_one(
    out: OutputFolder, run: Run, held_out: Sequence[HeldOut], cells: Sequence[object], head: Sequence[str]
) -> None:
    """Write the page of one training; `cells` say below `head` how far it is."""
    html, (name,) = macros(TEMPLATE), _names([run])
    entries = {name: curves.read(Path(run.path) / "metrics.jsonl")}
    sections = [
        Section("run", "Run", html.runs(head, [cells])),
        *(
            Section(
                f"by-{kind}", f"Held-out windows by {kind}", html.groups(*table, _drawn_groups(kind, entries[name]))
            )
            for kind, table in groups.tables(held_out).items()
        ),
        *_of_runs(html, entries),
    ]
    foot = "villa runs show; the numbers are in metrics.jsonl of the run"
    out.write("index.html", page("A training", name, "", sections, foot))


def write_page(
    out: OutputFolder, runs: Sequence[Run], differing: Mapping[str, Sequence[Any]], rows: Any, head: Sequence[str]
) -> None:
    """Write the page; `rows` say below `head` how far each run is."""
    html, names = macros(TEMPLATE), _names(runs)
    entries = {name: curves.read(Path(one.path) / "metrics.jsonl") for name, one in zip(names, runs, strict=True)}
    settings = [[key, *("" if v is None else str(v) for v in values)] for key, values in differing.items()]
    sections = [
        Section("runs", "Runs", html.runs(head, rows)),
        Section("settings", "Settings that differ", html.settings(["setting", *names], settings)),
        *_of_runs(html, entries),
    ]
    lead = f"{len(runs)} trainings: {', '.join(names)}"
    foot = "villa runs compare; the numbers of each run are in its metrics.jsonl"
    out.write("index.html", page(TITLE, lead, "", sections, foot))


def _of_runs(html: Any, entries: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Section]:
    """Draw every figure that is not of a group, each of all runs."""
    names = dict.fromkeys(key for some in entries.values() for entry in some for key in entry)
    figures = [name for name in names if groups.parsed(name) is None]
    held_out = {f.removeprefix("val_") for f in figures if f.startswith("val_")}
    ours = [f for f in figures if not f.startswith("val_") and f not in ("step", "notes")]
    speed = [f for f in OF_SPEED if f in ours]
    optimiser = [f for f in ours if f in OF_OPTIMISER or f.startswith("grad_norm_")]
    losses = [f for f in ours if f not in speed and f not in optimiser]
    losses += sorted(held_out - set(losses))
    return [
        Section("losses", "Losses and figures", html.curves(_drawn(losses, entries))),
        Section("optimiser", "Gradients and learning rate", html.curves(_drawn(optimiser, entries))),
        Section("speed", "Speed", html.curves(_drawn(speed, entries))),
    ]


def _drawn_groups(kind: str, entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Draw each figure of a kind of group, a line for each group."""
    lines: dict[str, list[charts.Series]] = {}
    for key in dict.fromkeys(key for entry in entries for key in entry):
        split = groups.parsed(key)
        if split and split[0] == kind and split[2] != groups.WINDOWS and len(known := curves.points(entries, key)) > 1:
            steps, values = zip(*known, strict=True)
            lines.setdefault(split[2], []).append(charts.Series(split[1], steps, values))
    figures = sorted(lines, key=lambda figure: (figure != "loss", figure))
    drawings = [charts.line_chart(figure, lines[figure], x_label="step", log=True) for figure in figures]
    return [drawing for drawing in drawings if drawing]


def _names(runs: Sequence[Run]) -> list[str]:
    """Name each run by the end of its path that no other has."""
    parts = [Path(one.path).resolve().parts for one in runs]
    length = next(n for n in range(1, 99) if len({p[-n:] for p in parts}) == len(set(parts)))
    return ["/".join(p[-length:]) for p in parts]


def _drawn(figures: Sequence[str], entries: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Draw figures, each of all runs; what was measured on held-out windows lies over them."""
    drawings = []
    for key in figures:
        lines, held_out = [], []
        for name, some in entries.items():
            if len(known := curves.points(some, key)) > 1:
                lines.append(curves.smooth(name, known))
            if len(looks := curves.points(some, f"val_{key}")) > 1:
                steps, values = zip(*looks, strict=True)
                held_out.append(charts.Series(f"{name}, held out", steps, values))
        if lines or held_out:
            drawings.append(charts.line_chart(key, [*lines, *held_out], x_label="step", log=key not in OF_SPEED))
    return [drawing for drawing in drawings if drawing]
