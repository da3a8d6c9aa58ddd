"""`villa export`: a corpus or a model in other tools' formats."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report

export = typer.Typer(help="Write a corpus or a model in another tool's format.", rich_markup_mode=None)
app.add_typer(export, name="export")

FormerOut = Annotated[str | None, typer.Argument(metavar="OUT", hidden=True)]
"""Version 0.1 took the folder as a second argument."""


def _out(out: str | None, former_out: str | None) -> str | None:
    if former_out is None:
        return out
    if out is not None:
        raise typer.BadParameter(
            f"found '{former_out}' beside --out {out}, expected one folder; leave '{former_out}' out"
        )
    typer.echo(f"give the folder as --out {former_out}; the next version takes no second argument", err=True)
    return former_out


@command(
    export,
    "export lerobot",
    example="villa export lerobot runs/corpus --out runs/lerobot\n"
    "villa export lerobot runs/corpus --out runs/lerobot --dataset agibot --fps 30 --codec h264 --dry-run\n"
    "villa export lerobot runs/corpus --out runs/lerobot --where 'num_steps > 50'",
    configs={"": "pipelines.export:ExportConfig"},
    apart=["kept_only"],
)
def lerobot(
    corpus: Annotated[str, typer.Argument(help="Corpus to read.")],
    settings: Settings,
    former_out: FormerOut = None,
    out: Annotated[str | None, typer.Option(help="Folder of the datasets.")] = None,
    dataset: Annotated[list[str] | None, typer.Option(help="Dataset to take; may be repeated.")] = None,
    where: Annotated[str | None, typer.Option(help="SQL filter over the corpus's columns.")] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Also what curation dropped, and idle ends that it trimmed.")
    ] = False,
    fps: Annotated[float | None, typer.Option(help="Only episodes within 1 % of this rate, declared as it.")] = None,
    codec: Annotated[str | None, typer.Option(help="`av1` or `h264`.")] = None,
    workers: Annotated[int | None, typer.Option(help="Files written side by side; 0 takes every core.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and count, write nothing.")] = False,
) -> "Report":
    """Write LeRobot v3.0 datasets, one for each embodiment, rate and set of cameras, that the lerobot package loads.

    Numbers are equal to the last bit, frames go through the video codec. Kill it and run the same command again: it
    goes on where it was.
    """
    from pipelines.export import lerobot as pipeline

    kwargs = {
        "corpus": corpus,
        "out": _out(out, former_out),
        "datasets": dataset or None,
        "where": where,
        "fps": fps,
        "codec": codec,
    }
    kwargs |= {"workers": workers, "dry_run": dry_run or None, "kept_only": False if all_ else None}
    return pipeline.run(settings.fill(pipeline.ExportConfig, **kwargs))


@command(
    export,
    "export checkpoint",
    example="villa export checkpoint runs/lam --out runs/lam-so-far\n"
    "villa export checkpoint runs/act --step 20000 --out runs/act-20000",
    configs={"": "pipelines.training.export:ExportCheckpointConfig"},
)
def checkpoint(
    run: Annotated[Path, typer.Argument(help="Folder of a training run, or of one of its checkpoints.")],
    settings: Settings,
    out: Annotated[Path | None, typer.Option(help="New folder.")] = None,
    step: Annotated[int | None, typer.Option(help="Step of the checkpoint; by default the newest.")] = None,
) -> "Report":
    """Write the model of a checkpoint as a folder of weights that every command reads, from however many shards.

    The weights are the averaged ones where the run has some, as when it ends. Training may go on meanwhile.
    """
    from pipelines.training import export as pipeline

    return pipeline.run(settings.fill(pipeline.ExportCheckpointConfig, run=run, out=out, step=step))


@command(
    export,
    "export lam",
    example="villa export lam runs/lam --out runs/lam-released",
    configs={"": "pipelines.export.lam:ExportLamConfig"},
)
def lam(
    lam: Annotated[Path, typer.Argument(help="Folder of the latent action model.")],
    settings: Settings,
    former_out: FormerOut = None,
    out: Annotated[str | None, typer.Option(help="New folder.")] = None,
) -> "Report":
    """Write a latent action model in the format of villa-X's authors, for their inference code and what reads it.

    The architecture must be theirs (preset `paper`, of any size); a proprio forward model stays behind.
    """
    from pipelines.export import lam as pipeline

    return pipeline.run(settings.fill(pipeline.ExportLamConfig, lam=lam, out=_out(out, former_out)))
