"""`villa shard`: pre-training shards of a weighted mixture."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(app, "shard", example="villa shard runs/corpus --out runs/shards\nvilla shard runs/corpus --dry-run")
def shard(
    corpus: Annotated[str, typer.Argument(help="Corpus to read.")],
    settings: Settings,
    out: Annotated[str | None, typer.Option(help="Folder or URI of the shards.")] = None,
    latent: Annotated[str | None, typer.Option(help="Name of the latent actions to write, from `villa label`.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and count, write nothing.")] = False,
) -> "Report":
    """Write the kept episodes as WebDataset shards with a manifest (checksums, counts, statistics)."""
    from pipelines import shard as pipeline

    return pipeline.run(
        settings.fill(pipeline.ShardConfig, corpus=corpus, out=out, latent=latent, dry_run=dry_run or None)
    )
