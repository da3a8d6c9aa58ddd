"""`villa label`: latent actions for every frame of the corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(app, "label", example="villa label runs/corpus --lam runs/lam")
def label(
    corpus: Annotated[str, typer.Argument(help="Corpus to label.")],
    settings: Settings,
    lam: Annotated[Path | None, typer.Option(help="Folder of the trained latent action model.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the columns: latent__NAME and codes__NAME.")] = None,
    device: Annotated[str | None, typer.Option(help="`cpu` (default), `cuda` ...")] = None,
) -> "Report":
    """Write latent actions of robots and humans as new columns; labelled fragments are skipped on a second run."""
    from pipelines import label as pipeline

    return pipeline.run(settings.fill(pipeline.LabelConfig, corpus=corpus, lam=lam, name=name, device=device))
