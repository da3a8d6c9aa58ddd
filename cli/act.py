"""`villa act`: what a policy would do now."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "act",
    example="villa act runs/act --image view.jpg --state 0.1,0,0.2,0,0,0,1 --instruction 'close the window'\n"
    "villa act runs/act --corpus runs/corpus@3f2a9c01 --step 12 --json",
    configs={"": "pipelines.serving.act:ActConfig"},
)
def act(
    policy: Annotated[str, typer.Argument(help="Folder of the trained policy.")],
    settings: Settings,
    image: Annotated[Path | None, typer.Option(help="Picture of the primary camera, JPEG or PNG.")] = None,
    wrist: Annotated[Path | None, typer.Option(help="Picture of the wrist camera.")] = None,
    instruction: Annotated[str | None, typer.Option(help="What the robot should do.")] = None,
    corpus: Annotated[str | None, typer.Option(help="CORPUS@EPISODE to take from what is not given.")] = None,
    step: Annotated[int | None, typer.Option(help="Which step of the episode.")] = None,
    embodiment: Annotated[str | None, typer.Option(help="Robot that acts, where the policy knows several.")] = None,
    device: Annotated[str | None, typer.Option(help="`cpu`, `cuda` ...; by default the best there is.")] = None,
) -> "Report":
    """Predict one chunk of actions, from pictures and numbers or from a step of a recorded episode.

    Beside a recorded episode it says how far the actions are from what was done there.
    """
    from pipelines.serving import act as pipeline

    return pipeline.run(
        settings.fill(
            pipeline.ActConfig,
            policy=policy,
            image=image,
            wrist=wrist,
            instruction=instruction,
            corpus=corpus,
            step=step,
            embodiment=embodiment,
            device=device,
        )
    )
