"""`villa demo`: the whole path in miniature."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "demo",
    example="villa demo --out runs/demo\nvilla demo --out runs/quick --quick --until label",
    configs={"": "pipelines.demo:DemoConfig"},
)
def demo(
    settings: Settings,
    out: Annotated[Path | None, typer.Option(help="Folder of everything that the demo makes.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do it all, tiny, in a few minutes.")] = False,
    until: Annotated[str | None, typer.Option(help="Stop after this stage: record, ingest, label ...")] = None,
    engine: Annotated[str | None, typer.Option(help="`ray` or `local`.")] = None,
) -> "Report":
    """Record simulated robots, build a corpus, train both models, run the policy, write a report.

    Kill it and run the same command again: it goes on where it was.
    """
    from pipelines import demo as pipeline

    return pipeline.run(settings.fill(pipeline.DemoConfig, out=out, quick=quick or None, until=until, engine=engine))
