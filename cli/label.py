"""`villa label`: latent actions for every frame of the corpus, or of anybody's video."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "label",
    example="villa label runs/corpus --lam runs/lam\n"
    "villa label runs/corpus --lam runs/lam --engine ray --name base\n"
    "villa label --video clips/ kitchen.mp4 --lam runs/lam --out latents.npz",
    configs={"": "pipelines.label.config:LabelConfig", "--video": "pipelines.label.config:LabelVideoConfig"},
)
def label(
    settings: Settings,
    corpus: Annotated[list[str] | None, typer.Argument(help="Corpus to label; after --video, more videos.")] = None,
    lam: Annotated[Path | None, typer.Option(help="Folder of the latent action model, ours or a released one.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the column: codes__NAME.")] = None,
    device: Annotated[str | None, typer.Option(help="`cpu`, `cuda` ...; by default the best there is.")] = None,
    engine: Annotated[str | None, typer.Option(help="`local`, or `ray`: a model on every GPU or core.")] = None,
    video: Annotated[list[str] | None, typer.Option(help="Video, or folder of videos, instead of a corpus.")] = None,
    out: Annotated[Path | None, typer.Option(help="With --video: new file NAME.npz or table NAME.lance.")] = None,
) -> "Report":
    """Write latent actions of robots and humans as new columns; labelled episodes are skipped on a second run.

    With --video no corpus is needed: a file that cannot be read is one line of the report, the others are done; the
    exit code is 1 when such a file was named, rather than found in a folder.
    """
    kwargs = {"lam": lam, "name": name, "device": device}
    if video or settings.give("videos"):
        if engine:
            raise typer.BadParameter("--engine is for a corpus; videos are decoded side by side in this process")
        from pipelines.label.config import LabelVideoConfig

        paths = [*(video or []), *(corpus or [])] or None
        config = settings.fill(LabelVideoConfig, videos=paths, out=out, **kwargs)
        from pipelines.label import video as label_video  # torch comes after the settings are known to be sound

        return label_video.run(config)
    if out or (corpus and len(corpus) > 1):
        raise typer.BadParameter("one corpus, which takes the labels itself; --out goes with --video")
    if not corpus and not settings.file and not settings.overrides:
        raise typer.BadParameter("give a corpus, or --video with files or folders")
    from pipelines import label as pipeline

    return pipeline.run(
        settings.fill(pipeline.LabelConfig, corpus=corpus[0] if corpus else None, engine=engine, **kwargs)
    )
