"""`villa show`: look at a corpus or at one episode."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "show",
    example="villa show runs/corpus\nvilla show runs/corpus 3f2a9c01d4e5b687 --out strip.png",
)
def show(
    corpus: Annotated[str, typer.Argument(help="Corpus to look at.")],
    episode: Annotated[str | None, typer.Argument(help="Episode, by its id or the id's first letters.")] = None,
    out: Annotated[Path | None, typer.Option(help="PNG of its frames, states and actions.")] = None,
    frames: Annotated[int, typer.Option(min=1, max=64, help="Frames of the picture, evenly spaced.")] = 12,
) -> "Report":
    """Show what a corpus holds; with an episode, its facts, instruction and ranges, and a picture of it."""
    from pipelines.corpus import show as pipeline

    return pipeline.run(pipeline.ShowConfig(corpus=corpus, episode=episode, out=out, frames=frames))
