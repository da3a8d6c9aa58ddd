"""`villa curate`: check every episode and keep the reasons."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


EXAMPLE = (
    "villa curate runs/corpus\nvilla curate runs/corpus --recipe strict --report runs/curation\n"
    "villa curate runs/corpus --explain 3f2a9c01d4e5b687"
)


@command(
    app,
    "curate",
    example=EXAMPLE,
    configs={"": "pipelines.curate:CurateConfig"},
    choices={"recipe": "pipelines.recipes.recipes:names:curate"},
)
def curate(
    corpus: Annotated[str, typer.Argument(help="Corpus to curate.")],
    settings: Settings,
    recipe: Annotated[str | None, typer.Option(help="Rules and thresholds: a recipe by name, or a YAML file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for the page with examples and histograms.")] = None,
    explain: Annotated[str | None, typer.Option(help="Show one episode's numbers and verdict; write nothing.")] = None,
) -> "Report":
    """Measure every episode, apply the rules, and write what stays, in full or trimmed, and why; nothing is deleted."""
    from pipelines import curate as pipeline

    kwargs = {"corpus": corpus, "recipe": recipe, "report": report, "explain": explain}
    return pipeline.run(settings.fill(pipeline.CurateConfig, **kwargs))
