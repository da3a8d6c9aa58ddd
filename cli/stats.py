"""`villa stats`: statistics of states and actions."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(app, "stats", example="villa stats runs/corpus", configs={"": "pipelines.stats:StatsConfig"})
def stats(
    corpus: Annotated[str, typer.Argument(help="Corpus to measure.")],
    settings: Settings,
) -> "Report":
    """Compute statistics of states and actions per embodiment: what normalisation rests on."""
    from pipelines import stats as pipeline

    return pipeline.run(settings.fill(pipeline.StatsConfig, corpus=corpus))
