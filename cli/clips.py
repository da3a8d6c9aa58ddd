"""`villa clips`: what would be cut of human video, and what not and why."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "clips",
    example="villa clips egtea ~/data/egtea\nvilla clips egtea ~/data/egtea --context-s 4 --page runs/clips",
    configs={"": "pipelines.clips:ClipsConfig"},
    apart=["options"],
)
def clips(
    settings: Settings,
    extra: dict[str, Any],
    source: Annotated[
        str | None, typer.Argument(help="Which dataset of human video; `villa sources` lists them.")
    ] = None,
    root: Annotated[str | None, typer.Argument(help="Its folder.")] = None,
    page: Annotated[Path | None, typer.Option(help="Folder for a page with frames of a sample of clips.")] = None,
) -> "Report":
    """Say which clips an ingest would cut and which labels it would leave out and why, without decoding a video.

    With `--page` a few clips are cut as ingest would, and shown.

    Options of the source are those of `villa ingest`.
    """
    from pipelines import clips as pipeline

    kwargs: dict[str, Any] = {"source": source, "root": root, "options": extra or None, "page": page}
    return pipeline.run(settings.fill(pipeline.ClipsConfig, **kwargs))
