"""`villa eval`: the policy in closed loop."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "eval",
    example="villa eval runs/act\n"
    "villa eval runs/act --task button-press-topdown --task window-close --episodes 50 --out runs/eval\n"
    "villa eval expert --simulator lift",
    configs={"": "pipelines.evaluation.evaluate:EvalConfig"},
    choices={"simulator": "pipelines.evaluation.simulators._base:simulator_names"},
)
def evaluate(
    policy: Annotated[
        str, typer.Argument(help="Folder of the trained policy, or a baseline: `random`, `replay`, `expert`.")
    ],
    settings: Settings,
    simulator: Annotated[str | None, typer.Option(help="Where to play.")] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Task to play, may be repeated; by default the simulator's own.")
    ] = None,
    episodes: Annotated[int | None, typer.Option(help="Unseen starts per task.")] = None,
    acts_as: Annotated[
        str | None, typer.Option(help="Which of the robot's datasets to act as in; by default the simulator's own.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of results and filmstrips.")] = None,
    device: Annotated[str | None, typer.Option(help="`cpu`, `cuda` ...; by default the best there is.")] = None,
) -> "Report":
    """Run a policy in a simulator, on starts that training never saw; successes with Wilson intervals."""
    from pipelines.evaluation import evaluate as pipeline

    return pipeline.run(
        settings.fill(
            pipeline.EvalConfig,
            policy=policy,
            simulator=simulator,
            tasks=task or None,
            episodes=episodes,
            acts_as=acts_as,
            out=out,
            device=device,
        )
    )
