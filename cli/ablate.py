"""`villa ablate`: recipes side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "ablate",
    example="villa ablate claim --corpus runs/corpus --out runs/ablation --seeds 3\n"
    "villa ablate villa-x wo-latent my_arm.yaml --corpus runs/corpus --out runs/ablation --task window-close",
    configs={"": "pipelines.ablation.config:AblateConfig"},
    choices={"simulator": "pipelines.evaluation.simulators._base:simulator_names"},
)
def ablate(
    settings: Settings,
    recipes: Annotated[list[str] | None, typer.Argument(help="Recipes by name, or YAML files.")] = None,
    corpus: Annotated[str | None, typer.Option(help="Corpus to train on, or labelled shards with --latent.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of all trainings, plays and the table.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Trainings of each arm.")] = None,
    reference: Annotated[str | None, typer.Option(help="Arm to compare with; by default the first.")] = None,
    preset: Annotated[str | None, typer.Option(help="Of all trainings: `tiny` by default.")] = None,
    latent: Annotated[str | None, typer.Option(help="Latent actions that are there already.")] = None,
    simulator: Annotated[str | None, typer.Option(help="Where policies are evaluated.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Task to play, may be repeated.")] = None,
    episodes: Annotated[int | None, typer.Option(help="Unseen starts per task.")] = None,
    processes: Annotated[int | None, typer.Option(help="Trainings side by side.")] = None,
    device: Annotated[str | None, typer.Option(help="`cpu`, `cuda` ...; by default the best there is.")] = None,
) -> "Report":
    """Train and evaluate recipes over seeds; one table with intervals and paired differences. Goes on when killed."""
    from pipelines import ablation as pipeline

    config = settings.fill(
        pipeline.AblateConfig,
        recipes=tuple(recipes) if recipes else None,
        corpus=corpus,
        out=out,
        seeds=seeds,
        reference=reference,
        preset=preset,
        latent=latent,
        simulator=simulator,
        tasks=tuple(task) if task else None,
        episodes=episodes,
        processes=processes,
        device=device,
    )
    return pipeline.run(config)
