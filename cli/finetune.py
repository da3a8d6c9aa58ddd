"""`villa finetune`: a trained policy goes on with another robot."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import training
from cli.contract import app, command
from cli.settings import Settings
from cli.training import DATA, Device, DryRun, GpuMemory, GpuName, Gpus, Mfu, Out, Steps

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "finetune",
    example="villa finetune runs/act runs/new_robot --embodiment arm7_jaw --out runs/tuned --mode lora\n"
    "villa finetune runs/act runs/new_robot --embodiment arm7_jaw --dry-run --gpu a100",
    configs={"": "pipelines.training.finetune.config:FinetuneConfig"},
    choices={"preset": "pipelines.training.presets:names:finetune"},
)
def finetune(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a trained policy, or of one of its checkpoints.")],
    data: Annotated[str, typer.Argument(help=f"{DATA}, with latent actions of the model that the policy plans with.")],
    settings: Settings,
    embodiment: Annotated[
        list[str] | None, typer.Option(help="Robot to train on, seen in pre-training or not; may be given again.")
    ] = None,
    out: Out = None,
    preset: Annotated[str | None, typer.Option(help="Learning rate and length, or a YAML file.")] = None,
    steps: Steps = None,
    device: Device = None,
    dry_run: DryRun = False,
    gpus: Gpus = None,
    gpu: GpuName = None,
    gpu_memory_gb: GpuMemory = None,
    mfu: Mfu = None,
) -> "Report":
    """Go on from a trained policy with a robot's data, often one that it never saw.

    It says what was loaded, extended and newly initialised. A killed run continues to the same losses when the same
    command is given again; with more `--steps` a finished one is taken further.
    """
    from pipelines.training.finetune.config import FinetuneConfig

    given = {"checkpoint": checkpoint, "data": data, "out": out, "preset": preset, "steps": steps, "device": device}
    given["embodiments"] = tuple(embodiment) if embodiment else None
    hardware = {"gpus": gpus, "gpu": gpu, "gpu_memory_gb": gpu_memory_gb, "mfu": mfu}
    module = "pipelines.training.finetune.finetune"
    return training.run(module, "FinetuneTask", FinetuneConfig, settings, given, dry_run, hardware)
