"""`villa curate`: judge every episode and keep the reasons."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(app, "curate", example="villa curate runs/corpus\nvilla curate runs/corpus --explain 3f2a9c01d4e5b687")
def curate(
    corpus: Annotated[str, typer.Argument(help="Corpus to judge.")],
    settings: Settings,
    recipe: Annotated[str | None, typer.Option(help="Named set of rules and thresholds.")] = None,
    explain: Annotated[str | None, typer.Option(help="Show one episode's numbers and verdict; write nothing.")] = None,
) -> "Report":
    """Measure every episode, apply the rules, and write `keep` and `reject_reason`; nothing is deleted."""
    from pipelines import curate as pipeline

    return pipeline.run(settings.fill(pipeline.CurateConfig, corpus=corpus, recipe=recipe, explain=explain))
