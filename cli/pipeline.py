"""`villa pipeline`: several commands as one run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "pipeline",
    example="villa pipeline corpus.yaml --dry-run\nvilla pipeline corpus.yaml\n"
    "villa pipeline corpus.yaml --set vars.steps=20000 --until label\nvilla pipeline corpus.yaml --status",
    configs={"": "pipelines.workflow.config:PipelineConfig"},
    choices={"file": "pipelines.recipes.recipes:names:pipeline"},
)
def pipeline(
    file: Annotated[str, typer.Argument(help="YAML file of stages, or a pipeline that ships with the tool.")],
    settings: Settings,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell which stages would run and why; run none.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Tell how far each stage is; run none.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the run, in place of the file's.")] = None,
    redo: Annotated[str | None, typer.Option(help="Stage to do again even if nothing changed.")] = None,
    until: Annotated[str | None, typer.Option(help="Last stage: it and what it needs are run.")] = None,
    only: Annotated[str | None, typer.Option(help="Run this stage alone.")] = None,
    cores: Annotated[int | None, typer.Option(help="Cores for stages side by side.")] = None,
) -> "Report":
    """Run the stages of a file, from ingest to evaluation, each only when its settings or inputs have changed.

    Every stage's settings are checked before anything runs. Kill it and run the same command again: it goes on where it
    was. A page in the folder of the run tells how far it is.
    """
    from pipelines.workflow import config
    from pipelines.workflow import run as workflow

    kwargs = {"file": file, "out": out, "redo": redo, "until": until, "only": only, "cores": cores}
    return workflow.run(settings.fill(config.PipelineConfig, **kwargs, dry_run=dry_run or None, status=status or None))
