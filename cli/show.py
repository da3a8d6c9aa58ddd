"""`villa show`: look at a corpus, at one episode, or at labels of one's own video."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "show",
    example="villa show runs/corpus\n"
    "villa show runs/corpus video/videos --limit 0\n"
    "villa show runs/corpus 3f2a9c01d4e5b687 --out strip.png\n"
    "villa show latents.npz --out codes.png",
)
def show(
    corpus: Annotated[str, typer.Argument(help="Corpus, or labels of own video (NAME.npz, NAME.lance).")],
    episode: Annotated[
        str | None,
        typer.Argument(
            help="Episode, by its id or the id's first letters, or a dataset, to list its; of labels a video."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="PNG of its frames, states, actions and latent actions.")] = None,
    frames: Annotated[int, typer.Option(min=1, max=64, help="Frames of the picture, evenly spaced.")] = 12,
    limit: Annotated[
        int | None, typer.Option(min=0, help="Episodes to list of each dataset; 0 lists all.  [default: a few]")
    ] = None,
    latent: Annotated[
        list[str] | None, typer.Option(help="Latent actions to draw, by their name; again for more. Default: all.")
    ] = None,
) -> "Report":
    """Show what a corpus holds; with an episode, its facts, instruction and ranges, and a picture of it.

    Of labels of your own video: how many, which codes, how much holds still, and a picture of them.
    """
    if _is_labels(corpus):
        from pipelines.label import look

        if latent:
            raise typer.BadParameter("--latent is for an episode of a corpus; a file of labels is of one model")
        return look.run(look.ShowLabelsConfig(labels=Path(corpus), video=episode, out=out, frames=frames))
    from pipelines.corpus import show as pipeline

    return pipeline.run(
        pipeline.ShowConfig(corpus=corpus, episode=episode, limit=limit, out=out, frames=frames, latent=latent or [])
    )


def _is_labels(path: str) -> bool:
    """Tell labels of videos from a corpus, by the name."""
    return path.endswith(".npz") or (path.rstrip("/").endswith(".lance") and Path(path, "_versions").is_dir())
