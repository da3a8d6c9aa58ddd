"""Whether a training fits into memory, said before the system ends the process without a word.

What weights, gradients, the optimiser and the pictures of a batch take is known before a model is built: less can never
do. What activations take is known when they are there, so the first forward pass of a call is watched.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dataengine.errors import DataEngineError
from dataengine.machine import free_bytes
from pipelines.training.distributed import Distributed
from pipelines.training.loading import num_ahead
from pipelines.training.settings import LoopConfig
from pipelines.training.sharding import local

LOOK_EVERY = 2**25
"""Bytes that are kept for the backward pass between two looks at what is free."""


@dataclass(frozen=True)
class Need:
    """Bytes that a training holds beside pictures and activations: all of it, or a rank's own of a sharded model."""

    num_parameters: int
    weights: int
    """With buffers."""
    largest: int
    """Of one weight."""
    gradients: int
    moments: int
    """Of AdamW: two numbers for each weight that is trained."""
    averages: int
    """Of what is trained."""

    @classmethod
    def of(cls, model: nn.Module, config: LoopConfig) -> "Need":
        """Count for a model, which may lie on the meta device."""
        trained = [p for p in model.parameters() if p.requires_grad]
        gradients = sum(local(p).nbytes for p in trained)
        weights = sum(local(t).nbytes for t in (*model.parameters(), *model.buffers()))
        return cls(
            num_parameters=sum(p.numel() for p in model.parameters()),
            weights=weights,
            largest=max((p.nbytes for p in model.parameters()), default=0),
            gradients=gradients,
            moments=gradients // 2 if config.optimizer == "adamw_8bit" else 2 * gradients,
            averages=gradients if config.ema_decay else 0,
        )

    def held(self, pictures: int, shards: int = 1) -> dict[str, int]:
        """Name what a process holds, with so many bytes of pictures, where the rest is divided among shards."""
        fixed = {"weights": self.weights, "gradients": self.gradients, "optimizer": self.moments}
        fixed["averaged weights"] = self.averages
        return {**{name: size // shards for name, size in fixed.items()}, "pictures": pictures}

    @property
    def saved(self) -> int:
        """Bytes that a checkpoint holds, and its copy on the host while it is written."""
        return self.weights + self.moments + self.averages


def require(make: Callable[[], nn.Module], config: LoopConfig, distributed: Distributed, window_bytes: int) -> None:
    """Refuse what cannot fit: weights, gradients, optimiser, and the pictures of a batch, `window_bytes` for a window.

    The model is made without memory for that. How much its activations take on top nobody knows before they are there.
    """
    with torch.device("meta"):
        need = Need.of(make(), config)
    pictures = config.micro_batch_size // distributed.world_size * window_bytes
    at_rest = pictures * (num_ahead(config.grad_accumulation_steps) + 1)
    in_use = pictures * 4  # as float32
    free, shards = free_bytes(), distributed.world_size if config.sharding == "fsdp2" else 1
    copied = need.saved * (processes() if shards > 1 else 1) // shards if config.async_checkpoint else 0
    # A sharded model is made weight by weight.
    made = need.largest if shards > 1 else need.weights
    if distributed.device.type == "cuda":
        on_gpu = torch.cuda.mem_get_info(distributed.device)[0]
        on_host = {"pictures": at_rest}
        refused = (
            _lacks(need, config, need.held(in_use, shards), on_gpu, str(distributed.device))
            or _lacks(need, config, {"weights": made}, free, "cpu, where a model is made", processes())
            or _lacks(need, config, on_host, free, "cpu, where batches are made", processes())
            or _lacks(need, config, on_host, free, "cpu, where batches are made", processes(), copied)
        )
    else:
        held, where = need.held(at_rest + in_use, shards), str(distributed.device)
        refused = _lacks(need, config, held, free, where, processes()) or _lacks(
            need, config, held, free, where, processes(), copied
        )
    if distributed.any(bool(refused)):
        raise DataEngineError(refused or "another process of this training has too little memory for it")


def processes() -> int:
    """Count the processes that torchrun started on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _lacks(
    need: Need,
    config: LoopConfig,
    held: Mapping[str, int],
    free: int | None,
    where: str,
    processes: int = 1,
    copied: int = 0,
) -> str:
    """Say that something does not fit, and what may; nothing where it does. `copied` are the checkpoint's bytes."""
    wanted = sum(held.values()) * processes + copied
    if free is None or wanted <= free:
        return ""
    parts = ", ".join(f"{name} {_gb(size)}" for name, size in held.items() if size)
    several = f" in {processes} processes" if processes > 1 else ""
    is_batch = wanted - held.get("pictures", 0) * processes <= free
    advice = _smaller(config) if is_batch else "take a smaller --preset, or a machine with more memory"
    if copied:
        parts += f", copy of a checkpoint {_gb(copied)}"
        advice = "--set async_checkpoint=false copies nothing, and waits until a checkpoint is on the disk"
    return (
        f"training {need.num_parameters / 1e6:.0f} M parameters needs {_gb(wanted)} GB{several} ({parts}) and more for "
        f"activations, found {_gb(free)} GB free on {where}; {advice}"
    )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f}"


@contextmanager
def watched(title: str, config: LoopConfig, device: torch.device, still_needed: int) -> Iterator[None]:
    """Stop a forward pass that leaves no room for what comes after it (`still_needed` bytes for each process).

    GPUs say themselves that they are full, see `explained`; on a CPU the system would end the process.
    """
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.nbytes
        if kept >= LOOK_EVERY:
            kept = 0
            free = free_bytes()
            if free is not None and free < still_needed * processes() + tensor.nbytes:
                raise DataEngineError(
                    f"{title}: activations fill the memory before the first step is done ({_gb(free)} GB left, "
                    f"{_gb(still_needed * processes())} GB of them for gradients and optimizer); {_smaller(config)}"
                )
        return tensor

    if device.type == "cuda":
        yield
        return
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield


@contextmanager
def explained(title: str, config: LoopConfig, device: torch.device) -> Iterator[None]:
    """Say in one line that memory was refused, and what takes less."""
    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise DataEngineError(
            f"{title}: {device} has too little memory for a step; {_smaller(config)}, or a machine with more"
        ) from error


def _smaller(config: LoopConfig) -> str:
    """Say which settings take less."""
    parts = 2 * config.grad_accumulation_steps
    ways = (
        [] if parts > config.batch_size else [f"--set grad_accumulation_steps={parts} computes a step in smaller parts"]
    )
    if not config.checkpoint_activations:
        ways.append("--set checkpoint_activations=true keeps less of each")
    else_ = "; else " if ways else ""
    return f"{', '.join(ways)}{else_}take a smaller batch_size or --preset, or a machine with more memory"
