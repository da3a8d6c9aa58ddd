"""`villa probe`: how much of the robot's action a latent action holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(app, "probe", example="villa probe runs/corpus --lam runs/lam --lam runs/lam-no-proprio")
def probe(
    corpus: Annotated[str, typer.Argument(help="Corpus to probe on; its held-out episodes are used.")],
    settings: Settings,
    lam: Annotated[list[Path] | None, typer.Option(help="Folder of a latent action model; give it again.")] = None,
) -> "Report":
    """Read robot actions back from frozen latent actions, beside the trivial and the best possible readout."""
    from pipelines import probe as pipeline

    return pipeline.run(settings.fill(pipeline.ProbeConfig, corpus=corpus, lams=lam or None))
