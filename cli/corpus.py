"""`villa corpus info` and `villa corpus verify`."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command

if TYPE_CHECKING:
    from dataengine.report import Report

corpus = typer.Typer(help="Facts and health of a corpus.", rich_markup_mode=None)
app.add_typer(corpus, name="corpus")

Place = Annotated[str, typer.Argument(metavar="CORPUS", help="Folder or URI of the corpus.")]


@command(corpus, "corpus info", example="villa corpus info runs/corpus")
def info(place: Place) -> "Report":
    """Tell a corpus's tables, versions, columns, labels, rejects and the commands that wrote it."""
    from pipelines import corpus as pipeline

    return pipeline.info(pipeline.CorpusConfig(corpus=place))


@command(corpus, "corpus verify", example="villa corpus verify runs/corpus\nvilla corpus verify runs/corpus --full")
def verify(
    place: Place,
    full: Annotated[bool, typer.Option("--full", help="Decode every frame instead of one per camera.")] = False,
) -> "Report":
    """Check every row: identity, lengths, offsets, finite numbers, pictures that decode; exit code 1 if any is bad."""
    from pipelines import corpus as pipeline

    return pipeline.verify(pipeline.VerifyConfig(corpus=place, full=full))
