"""`villa runs list`, `show` and `compare`: look at trainings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command

if TYPE_CHECKING:
    from dataengine.report import Report

runs = typer.Typer(help="List, show and compare trainings.", rich_markup_mode=None)
app.add_typer(runs, name="runs")


@command(runs, "runs list", example="villa runs list runs")
def list_(
    folder: Annotated[list[Path], typer.Argument(help="Folders, in which trainings are looked for at any depth.")],
) -> "Report":
    """List trainings: how far each is, its losses, its speed, and whether it is running."""
    from pipelines.analysis.runs import runs as pipeline

    return pipeline.list_runs(folder)


@command(runs, "runs show", example="villa runs show runs/act --out runs/act-page")
def show(
    run: Annotated[Path, typer.Argument(help="Folder of a training.")],
    out: Annotated[Path | None, typer.Option(help="Folder for a page with its curves, and report.json.")] = None,
) -> "Report":
    """Show a training: the last value of every figure, its losses by dataset and embodiment, and its settings.

    With `--out` the curves are drawn on one page, those of datasets and embodiments over one another.
    """
    from pipelines.analysis.runs import runs as pipeline

    return pipeline.show(run, out)


@command(runs, "runs compare", example="villa runs compare runs/lam runs/lam-plain --out runs/comparison")
def compare(
    run: Annotated[list[Path], typer.Argument(help="Folders of two or more trainings.")],
    out: Annotated[Path | None, typer.Option(help="Folder for a page with their curves, and report.json.")] = None,
) -> "Report":
    """Hold several trainings against each other: how far each is, its losses, the settings in which they differ.

    With `--out` their curves are drawn over one another, on one page.
    """
    from pipelines.analysis.runs import runs as pipeline

    return pipeline.compare(run, out)
