"""`villa sources`: which datasets can be read."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "sources",
    example="villa sources\nvilla sources agibot\nvilla sources --propose ~/data/my_robot/1.0.0 --out mapping.yaml",
)
def sources(
    only: Annotated[str, typer.Argument(help="One name, or a part of several.")] = "",
    propose: Annotated[
        str | None, typer.Option(help="RLDS folder without a source: print a mapping for openx/auto.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Write the proposed mapping to this new file.")] = None,
) -> "Report":
    """List the datasets that `villa ingest` reads: kind, embodiment, control rate, file layout, licence.

    One source by its name is shown with its own options. An RLDS dataset that is not listed is read by `openx/auto`
    with a mapping of its features; `--propose` makes one from features.json, for you to finish.
    """
    from pipelines.ingest import sources as pipeline

    if propose is not None:
        return pipeline.propose(propose, out)
    return pipeline.run(pipeline.SourcesConfig(only=only))
