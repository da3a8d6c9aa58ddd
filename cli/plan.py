"""`villa plan`: what a policy intends in any picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "plan",
    example="villa plan runs/act --lam runs/lam --image view.jpg --instruction 'close the window' --out runs/plan",
    configs={"": "pipelines.evaluation.plan_picture:PlanPictureConfig"},
)
def plan(
    policy: Annotated[str, typer.Argument(help="Folder of a policy that was trained with latent actions.")],
    settings: Settings,
    image: Annotated[Path | None, typer.Option(help="Picture, JPEG or PNG, of any embodiment.")] = None,
    instruction: Annotated[str | None, typer.Option(help="What should be done.")] = None,
    lam: Annotated[str | None, typer.Option(help="Folder of the policy's latent action model.")] = None,
    world: Annotated[str | None, typer.Option(help="Folder of a world model that predicts the frames.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for frames, strip and video.")] = None,
    device: Annotated[str | None, typer.Option(help="`cpu`, `cuda` ...; by default the best there is.")] = None,
) -> "Report":
    """Plan from one picture and an instruction, and predict the frames that the plan leads to.

    The embodiment need not be one that training saw.
    """
    from pipelines.evaluation import plan_picture as pipeline

    return pipeline.run(
        settings.fill(
            pipeline.PlanPictureConfig,
            policy=policy,
            image=image,
            instruction=instruction,
            lam=lam,
            world=world,
            out=out,
            device=device,
        )
    )
