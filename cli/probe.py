"""`villa probe`: how much of the robot's action a latent action holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "probe",
    example="villa probe runs/corpus --lam runs/lam --lam runs/lam-no-proprio\n"
    "villa probe runs/corpus --out runs/probe --lam without=runs/without-0 --lam without=runs/without-1 "
    "--lam with=runs/with-0 --lam with=runs/with-1",
    configs={"": "pipelines.analysis.probe.probe:ProbeConfig"},
)
def probe(
    corpus: Annotated[str, typer.Argument(help="Corpus to probe on; its held-out episodes are used.")],
    settings: Settings,
    lam: Annotated[
        list[str] | None,
        typer.Option(help="Folder of a latent action model, or TITLE=FOLDER for a seed of an arm; may be repeated."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for a page with charts, and report.json.")] = None,
) -> "Report":
    """Read robot actions back from frozen latent actions, beside the trivial and the best possible readout.

    Later models are compared with the first. Models that differ by the seed of their training alone share a TITLE: they
    form an arm, arms are compared seed by seed, and intervals are over those seeds.
    """
    from pipelines.analysis.probe import probe as pipeline

    return pipeline.run(settings.fill(pipeline.ProbeConfig, corpus=corpus, lams=lam or None, out=out))
