"""`villa lam report`: look into a latent action model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report

lam = typer.Typer(help="Look into a latent action model.", rich_markup_mode=None)
app.add_typer(lam, name="lam")


@command(
    lam,
    "lam report",
    example="villa lam report runs/corpus --lam runs/lam --out runs/lam-report\n"
    "villa lam report runs/corpus --lam villa-x/lam --out runs/released --interval-s 0.4 --most 100",
    configs={"": "pipelines.analysis.lam_report.lam_report:LamReportConfig"},
)
def report(
    corpus: Annotated[str, typer.Argument(help="Corpus to look at; its held-out episodes are used.")],
    settings: Settings,
    lam: Annotated[Path | None, typer.Option(help="Folder of the latent action model, ours or a released one.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the page, its pictures and report.json.")] = None,
    device: Annotated[str | None, typer.Option(help="`cpu`, `cuda` ...; by default the best there is.")] = None,
) -> "Report":
    """Write a page about what latent actions hold.

    Pairs of frames of different embodiments that get the same latent action, use of the codes, predicted frames, and
    controls: is it the action, or the camera?
    """
    from pipelines.analysis.lam_report import lam_report as pipeline

    return pipeline.run(settings.fill(pipeline.LamReportConfig, corpus=corpus, lam=lam, out=out, device=device))
