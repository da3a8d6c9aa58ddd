"""`villa shard`: pre-training shards of a weighted mixture."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "shard",
    example="villa shard runs/corpus@march --out runs/shards\nvilla shard runs/corpus --mixture villa-x --dry-run\n"
    "villa shard runs/shards --verify",
    configs={"": "pipelines.shard:ShardConfig", "--verify": "pipelines.shard.verify:VerifyShardsConfig"},
    apart=["shards"],
    choices={"mixture": "pipelines.recipes.recipes:names:mixture"},
)
def shard(
    corpus: Annotated[str, typer.Argument(help="Corpus to read, or a snapshot: CORPUS@NAME; for --verify the shards.")],
    settings: Settings,
    out: Annotated[str | None, typer.Option(help="Folder or URI of the shards.")] = None,
    latent: Annotated[
        list[str] | None, typer.Option(help="Name of latent actions to write, from `villa label`; may be repeated.")
    ] = None,
    mixture: Annotated[str | None, typer.Option(help="What to draw: a mixture by name, or a YAML file.")] = None,
    frame_side: Annotated[
        int | None, typer.Option(help="Scale larger frames to this side, for models that train at it.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and count, write nothing.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Compare a folder of shards with its checksums.")] = False,
) -> "Report":
    """Write the kept episodes as WebDataset shards with a manifest (checksums, counts, statistics)."""
    if verify or settings.give("shards"):
        if out or latent or mixture or frame_side or dry_run:
            raise typer.BadParameter("--verify takes a folder of shards and nothing else")
        from pipelines.shard import verify as shard_verify

        return shard_verify.run(settings.fill(shard_verify.VerifyShardsConfig, shards=corpus))
    from pipelines import shard as pipeline

    return pipeline.run(
        settings.fill(
            pipeline.ShardConfig,
            corpus=corpus,
            out=out,
            latents=latent or None,
            mixture=mixture,
            frame_side=frame_side,
            dry_run=dry_run or None,
        )
    )
