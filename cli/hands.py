"""`villa hands`: estimate the hands of people in clips whose publisher ships none."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "hands",
    example="villa hands runs/corpus --model hand_landmarker.task",
    configs={"": "pipelines.curate.hands:HandsConfig"},
)
def hands(
    corpus: Annotated[str, typer.Argument(help="Corpus whose clips of people to look at.")],
    settings: Settings,
    model: Annotated[Path | None, typer.Option(help="hand_landmarker.task of MediaPipe's Hand Landmarker.")] = None,
) -> "Report":
    """Estimate hands in clips of people whose publisher ships none, with MediaPipe; published hands stay."""
    from pipelines.curate import hands as pipeline

    return pipeline.run(settings.fill(pipeline.HandsConfig, corpus=corpus, model=model))
