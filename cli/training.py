"""What `villa train` and `villa finetune` have in common: their options, and how a training is begun or planned."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report
    from pipelines.training.config import TrainConfig

DATA = "Corpus, snapshot of one (CORPUS@NAME), or folder of shards"
Out = Annotated[Path | None, typer.Option(help="Folder of the run: checkpoints, metrics, the final weights.")]
Preset = Annotated[
    str | None,
    typer.Option(help="Size and training: `tiny` (CPU, minutes), `small` (one GPU) ..., or a YAML file."),
]
Steps = Annotated[int | None, typer.Option(help="Optimiser steps of the whole run.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell memory, work, data and hours; train nothing.")]
Gpus = Annotated[int | None, typer.Option(help="With --dry-run: how many GPUs, a process on each.")]
GpuName = Annotated[str | None, typer.Option(help="With --dry-run: which; `h100` by default.")]
GpuMemory = Annotated[
    float | None, typer.Option("--gpu-memory-gb", help="With --dry-run: memory of one, if not the data sheet's.")
]
Mfu = Annotated[float | None, typer.Option(help="With --dry-run: share of the peak that is reached; 0.4 by default.")]
Device = Annotated[str | None, typer.Option(help="`cpu`, `cuda` ...; by default the best there is.")]


def run(
    module: str,
    task: str,
    kind: "type[TrainConfig]",
    settings: Settings,
    given: dict[str, Any],
    dry_run: bool,
    hardware: Mapping[str, object],
) -> "Report":
    """Train what a module trains, or plan it."""
    _check_hardware(dry_run, hardware)
    if dry_run and given["out"] is None and not settings.give("out"):
        given["out"] = Path("runs/dry-run")  # nothing is written there
    config = settings.fill(kind, **given)
    if dry_run:
        return _dry_run(f"{module}:{task}", config, hardware)
    from pipelines.training.launch import launch  # torch comes after the settings are known to be sound

    return launch.run(f"{module}:run", config)


def _check_hardware(dry_run: bool, hardware: Mapping[str, object]) -> None:
    """Refuse GPUs that are named for a training, which takes those that it is started on."""
    given = [f"--{name.replace('_', '-')}" for name, value in hardware.items() if value is not None]
    if given and not dry_run:
        raise typer.BadParameter(f"{given[0]} goes with --dry-run; a training takes the GPUs that it is started on")


def _dry_run(task: str, config: "TrainConfig", hardware: Mapping[str, object]) -> "Report":
    """Plan a training on the GPUs that the command names."""
    from pipelines.training.dry_run.hardware import HardwareConfig

    wanted = HardwareConfig.model_validate({name: value for name, value in hardware.items() if value is not None})
    from pipelines.training.dry_run import dry_run  # torch comes after the settings are known to be sound

    return dry_run.run(task, config, wanted)
