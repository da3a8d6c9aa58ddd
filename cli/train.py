"""`villa train lam`, `act`, `world` and `custom`: the one training loop, and what it trains."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import training
from cli.contract import app, command
from cli.settings import Settings
from cli.training import DATA, Device, DryRun, GpuMemory, GpuName, Gpus, Mfu, Out, Preset, Steps

if TYPE_CHECKING:
    from dataengine.report import Report

train = typer.Typer(
    help="Train the latent action model, the policy, the world model or a model of your own.", rich_markup_mode=None
)
app.add_typer(train, name="train")


@command(
    train,
    "train lam",
    example="villa train lam runs/corpus --out runs/lam --preset tiny --batch-size 32\n"
    "villa train lam runs/corpus --preset paper --dry-run --gpus 8 --gpu h100",
    configs={"": "pipelines.training.lam.config:TrainLamConfig"},
    choices={"preset": "pipelines.training.presets:names:train_lam"},
)
def lam(
    data: Annotated[str, typer.Argument(help=f"{DATA}, to train on.")],
    settings: Settings,
    out: Out = None,
    preset: Preset = None,
    steps: Steps = None,
    device: Device = None,
    dry_run: DryRun = False,
    gpus: Gpus = None,
    gpu: GpuName = None,
    gpu_memory_gb: GpuMemory = None,
    mfu: Mfu = None,
) -> "Report":
    """Train the latent action model: it names what happens between two frames.

    A killed run continues to the same losses when the same command is given again.
    """
    from pipelines.training.lam.config import TrainLamConfig

    hardware = {"gpus": gpus, "gpu": gpu, "gpu_memory_gb": gpu_memory_gb, "mfu": mfu}
    given = {"data": data, "out": out, "preset": preset, "steps": steps, "device": device}
    return training.run("pipelines.training.lam.lam", "LamTask", TrainLamConfig, settings, given, dry_run, hardware)


@command(
    train,
    "train act",
    example="villa train act runs/shards --out runs/act --preset tiny --model.horizon 8\n"
    "villa train act runs/corpus --out runs/act-plain --no-use-latent",
    configs={"": "pipelines.training.act.config:TrainActConfig"},
    choices={"preset": "pipelines.training.presets:names:train_act"},
)
def act(
    data: Annotated[str, typer.Argument(help=f"{DATA}, to train on, with latent actions unless `--no-use-latent`.")],
    settings: Settings,
    out: Out = None,
    preset: Preset = None,
    steps: Steps = None,
    device: Device = None,
    dry_run: DryRun = False,
    gpus: Gpus = None,
    gpu: GpuName = None,
    gpu_memory_gb: GpuMemory = None,
    mfu: Mfu = None,
) -> "Report":
    """Train the policy: it plans latent actions and robot actions from pixels, state and an instruction.

    A killed run continues to the same losses when the same command is given again.
    """
    from pipelines.training.act.config import TrainActConfig

    hardware = {"gpus": gpus, "gpu": gpu, "gpu_memory_gb": gpu_memory_gb, "mfu": mfu}
    given = {"data": data, "out": out, "preset": preset, "steps": steps, "device": device}
    return training.run("pipelines.training.act.act", "ActTask", TrainActConfig, settings, given, dry_run, hardware)


@command(
    train,
    "train world",
    example="villa train world runs/corpus --lam runs/lam --out runs/world --preset tiny",
    configs={"": "pipelines.training.world.config:TrainWorldConfig"},
    choices={"preset": "pipelines.training.presets:names:train_world"},
)
def world(
    data: Annotated[str, typer.Argument(help=f"{DATA}, to train on, with latent actions.")],
    settings: Settings,
    out: Out = None,
    lam: Annotated[
        Path | None, typer.Option(help="The model that wrote the latent actions: for level 0 and the cycle check.")
    ] = None,
    preset: Preset = None,
    steps: Steps = None,
    device: Device = None,
    dry_run: DryRun = False,
    gpus: Gpus = None,
    gpu: GpuName = None,
    gpu_memory_gb: GpuMemory = None,
    mfu: Mfu = None,
) -> "Report":
    """Train the world model: it predicts the frames that latent actions lead to.

    `--set level=0` trains nothing and evaluates the latent action model's own decoder instead. A killed run continues
    to the same losses when the same command is given again.
    """
    from pipelines.training.world.config import TrainWorldConfig

    hardware = {"gpus": gpus, "gpu": gpu, "gpu_memory_gb": gpu_memory_gb, "mfu": mfu}
    given = {"data": data, "out": out, "lam": lam, "preset": preset, "steps": steps, "device": device}
    module = "pipelines.training.world.world"
    return training.run(module, "WorldTask", TrainWorldConfig, settings, given, dry_run, hardware)


@command(
    train,
    "train custom",
    example="villa train custom bc:BcTask runs/corpus --out runs/bc --steps 2000 --set model.width=64",
    configs={"": "pipelines.training.config:TrainConfig"},
)
def custom(
    task: Annotated[str, typer.Argument(help="Its TrainTask, as `module:Class`.")],
    data: Annotated[str, typer.Argument(help=f"{DATA}, to train on.")],
    settings: Settings,
    out: Out = None,
    steps: Steps = None,
    device: Device = None,
) -> "Report":
    """Train a model of your own; CONTRIBUTING.md has one in a file.

    Settings that only this model has are given with `--set`. A killed run continues to the same losses when the same
    command is given again.
    """
    from pipelines.training import fit
    from pipelines.training.launch import launch

    made = fit.task_at(task)
    return launch.run(
        "pipelines.training.fit:fit",
        made,
        settings.fill(made.config_class(), data=data, out=out, steps=steps, device=device),
    )
