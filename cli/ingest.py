"""`villa ingest`: raw recordings into the corpus."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "ingest",
    example="villa ingest openx/metaworld ~/data/metaworld/1.0.0 --corpus runs/corpus\n"
    "villa ingest agibot ~/data/agibot --corpus runs/corpus --engine ray --unit segment --set frame_size=224",
)
def ingest(
    source: Annotated[str, typer.Argument(help="Which dataset; `villa sources` lists them.")],
    root: Annotated[str, typer.Argument(help="Folder or URI of its raw recordings.")],
    settings: Settings,
    extra: dict[str, Any],
    corpus: Annotated[str | None, typer.Option(help="Corpus to create or extend.")] = None,
    engine: Annotated[str | None, typer.Option(help="`local` (processes of this machine, default) or `ray`.")] = None,
    workers: Annotated[int | None, typer.Option(help="Parts read side by side; 0 takes every core.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail when a record is rejected.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and count, write nothing.")] = False,
) -> "Report":
    """Read raw recordings, as their publisher ships them, into the corpus; each part exactly once.

    A bad record is put aside with its reason and the rest is read. Kill it and run the same command again: it goes
    on where it was. Some sources have options of their own, `villa sources NAME` lists them: `--unit segment`.
    """
    from pipelines import ingest as pipeline

    return pipeline.run(
        settings.fill(
            pipeline.IngestConfig,
            source=source,
            root=root,
            corpus=corpus,
            engine=engine,
            workers=workers,
            strict=strict or None,
            dry_run=dry_run or None,
            options=extra or None,
        )
    )
