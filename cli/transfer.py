"""`villa transfer`: a robot repeats what a video shows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "transfer",
    example="villa transfer kitchen.mp4 --to sawyer --lam runs/lam\n"
    "villa transfer runs/corpus --to fetch --lam runs/lam --datasets '[openx/metaworld]'",
    configs={"": "pipelines.evaluation.transfer.config:TransferConfig"},
)
def transfer(
    videos: Annotated[
        list[str], typer.Argument(help="Videos, folders of videos, or one corpus whose episodes are repeated.")
    ],
    settings: Settings,
    to: Annotated[str | None, typer.Option(help="Embodiment that acts.")] = None,
    lam: Annotated[
        Path | None, typer.Option(help="Folder of a latent action model with a proprio forward model.")
    ] = None,
    simulator: Annotated[str | None, typer.Option(help="Where it acts; by default the embodiment's own.")] = None,
    task: Annotated[str | None, typer.Option(help="Scene of the simulator.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of trajectories, plots and videos side by side.")] = None,
    device: Annotated[str | None, typer.Option(help="`cpu`, `cuda` ...; by default the best there is.")] = None,
) -> "Report":
    """Turn a robot's or a person's video into actions of a robot, execute them in open and in closed loop.

    Of a corpus, whose states say where hands went, it is measured whether the robot's hand goes the same way, beside
    latent actions of other moments.
    """
    from pipelines.evaluation.transfer import transfer as pipeline
    from pipelines.evaluation.transfer.config import TransferConfig

    return pipeline.run(
        settings.fill(
            TransferConfig,
            videos=list(videos) if videos else None,
            to=to,
            lam=lam,
            simulator=simulator,
            task=task,
            out=out,
            device=device,
        )
    )
