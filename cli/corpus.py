"""`villa corpus info`, `verify`, `rejects`, `drop`, `compact`, `snapshot` and `diff`."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report

corpus = typer.Typer(help="Facts, health, size and states of a corpus.", rich_markup_mode=None)
app.add_typer(corpus, name="corpus")

CorpusUri = Annotated[str, typer.Argument(metavar="CORPUS", help="Folder or URI of the corpus.")]


@command(corpus, "corpus info", example="villa corpus info runs/corpus")
def info(uri: CorpusUri) -> "Report":
    """Tell a corpus's tables, versions, columns, labels, rejects and the commands that wrote it."""
    from pipelines.corpus import health as pipeline

    return pipeline.info(pipeline.CorpusConfig(corpus=uri))


@command(corpus, "corpus verify", example="villa corpus verify runs/corpus\nvilla corpus verify runs/corpus --deep")
def verify(
    uri: CorpusUri,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every frame and compare every checksum.")] = False,
    workers: Annotated[int, typer.Option(help="Threads that look at once; 0 takes every core.", min=0)] = 0,
) -> "Report":
    """Check rows, files, and what the tables say of each other; exit code 1 if anything is wrong.

    Of each camera of each episode one frame is decoded, unless --deep.
    """
    from pipelines.corpus import health as pipeline

    return pipeline.verify(pipeline.VerifyConfig(corpus=uri, deep=deep, workers=workers))


@command(
    corpus,
    "corpus rejects",
    example="villa corpus rejects runs/corpus\nvilla corpus rejects runs/corpus --dataset openx/bridge --reason JPEG",
)
def rejects(
    uri: CorpusUri,
    dataset: Annotated[str | None, typer.Option(help="Only those of this dataset.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only those with these words in their reason.")] = None,
    limit: Annotated[int, typer.Option(help="How many to list; 0 lists all.", min=0)] = 20,
) -> "Report":
    """Tell what could not be read and why: counts by reason, then dataset, part and record of each."""
    from pipelines.corpus import rejects as pipeline

    return pipeline.run(pipeline.RejectsConfig(corpus=uri, dataset=dataset, reason=reason, limit=limit))


@command(
    corpus,
    "corpus drop",
    example="villa corpus drop runs/corpus openx/bridge --dry-run\nvilla corpus drop runs/corpus openx/bridge --yes",
)
def drop(
    uri: CorpusUri,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Dataset to drop, as `corpus info` lists it.")],
    part: Annotated[list[str] | None, typer.Option(help="Only this part, by its name or id; may be repeated.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this nothing is changed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would go, change nothing.")] = False,
) -> "Report":
    """Take a dataset out of the corpus, so that it can be ingested anew, for instance with another mapping.

    Its episodes with their labels, rejects, staged parts and statistics go; snapshots keep them. Killed at any moment,
    the same command finishes.
    """
    from pipelines.corpus import drop as pipeline

    kwargs = {"corpus": uri, "dataset": dataset, "parts": part or [], "yes": yes, "dry_run": dry_run}
    return pipeline.run(pipeline.DropConfig(**kwargs))


@command(
    corpus,
    "corpus compact",
    example="villa corpus compact runs/corpus --dry-run\nvilla corpus compact runs/corpus --older-than 7d",
    configs={"": "pipelines.corpus.compact:CompactConfig"},
    apart=["corpus"],
)
def compact(
    settings: Settings,
    uri: CorpusUri,
    older_than: Annotated[str | None, typer.Option(help="Also remove old versions of this age: 7d, 12h.")] = None,
    dry_run: Annotated[bool | None, typer.Option("--dry-run", help="Tell what would be done, write nothing.")] = None,
) -> "Report":
    """Rewrite many small fragments into few large ones, also while others ingest or label.

    Rows, labels and snapshots stay as they are. Without --older-than nothing is removed.
    """
    from pipelines.corpus import compact as pipeline

    kwargs = {"corpus": uri, "older_than": older_than, "dry_run": dry_run}
    return pipeline.run(settings.fill(pipeline.CompactConfig, **kwargs))


@command(
    corpus,
    "corpus snapshot",
    example="villa corpus snapshot runs/corpus march --mixture villa-x\nvilla corpus snapshot runs/corpus --list",
    configs={"": "pipelines.corpus.versions:SnapshotConfig"},
    apart=["corpus"],
    choices={"mixture": "pipelines.recipes.recipes:names:mixture"},
)
def snapshot(
    settings: Settings,
    uri: CorpusUri,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="What to call it; a name is given once.")] = None,
    mixture: Annotated[str | None, typer.Option(help="What trainings of it draw: a name, or a YAML file.")] = None,
    show: Annotated[bool, typer.Option("--list", help="List the snapshots there are.")] = False,
) -> "Report":
    """Name the present state of the corpus, to be read unchanged whatever is ingested, labelled or compacted later.

    Every command that reads a corpus reads it as CORPUS@NAME. A mixture that is pinned with it is what trainings draw.
    """
    from pipelines.corpus import versions as pipeline

    if (name is None and not settings.give("name")) != show:
        raise ValueError("NAME is missing or too much: give either a NAME for a new snapshot or --list")
    if show:
        return pipeline.snapshots(uri)
    return pipeline.snapshot(settings.fill(pipeline.SnapshotConfig, corpus=uri, name=name, mixture=mixture))


@command(
    corpus,
    "corpus diff",
    example="villa corpus diff runs/corpus march now\nvilla corpus diff runs/corpus 12 march",
)
def diff(
    uri: CorpusUri,
    before: Annotated[str, typer.Argument(metavar="A", help="A snapshot, the number of a version, or `now`.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The same; A is compared with it.")],
) -> "Report":
    """Tell what changed from one state to another: episodes, columns, and what curation decided, by dataset."""
    from pipelines.corpus import versions as pipeline

    return pipeline.diff(uri, before, after)
