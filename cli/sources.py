"""`villa sources`: which datasets can be read."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command

if TYPE_CHECKING:
    from dataengine.report import Report


@command(app, "sources", example="villa sources\nvilla sources agibot")
def sources(only: Annotated[str, typer.Argument(help="One name, or a part of several.")] = "") -> "Report":
    """List the datasets that `villa ingest` reads: kind, embodiment, control rate, file layout, licence.

    One source by its name is shown with its own options.
    """
    from pipelines import sources as pipeline

    return pipeline.run(pipeline.SourcesConfig(only=only))
