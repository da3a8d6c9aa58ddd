"""AdamW, which weights it lets decay, and how fast each part learns."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from dataengine.errors import DataEngineError
from pipelines.training.settings import LoopConfig

LR_SCALE = "lr_scale"
"""Key of a group's factor on the learning rate."""


def decays(model: nn.Module) -> set[str]:
    """Name the weights that weight decay pulls to zero: those of linear maps and convolutions.

    Tables, codebooks, queries, positions, gates and scales have two axes too, but nothing keeps them small for good.
    """
    maps = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, maps)}


def parameter_order(model: nn.Module, lr_scale: Callable[[str], float] = lambda name: 1.0) -> list[str]:
    """Name what is trained in the order of the groups of one process: checkpoints keep it, however a run is sharded."""
    chosen = decays(model)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    return sorted(trained, key=lambda name: (-lr_scale(name), name not in chosen))


def make_optimizer(
    model: nn.Module, config: LoopConfig, device: torch.device, lr_scale: Callable[[str], float] = lambda name: 1.0
) -> torch.optim.Optimizer:
    """Make the optimiser of all weights that are trained; `lr_scale` gives each one's factor on the learning rate."""
    chosen = decays(model)
    groups: dict[tuple[float, bool, bool], list[nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            groups.setdefault((lr_scale(name), name in chosen, isinstance(p, DTensor)), []).append(p)
    ordered = [
        {"params": groups[key], "weight_decay": config.weight_decay if key[1] else 0.0, LR_SCALE: key[0]}
        for key in sorted(groups, key=lambda key: (-key[0], not key[1], not key[2]))
    ]
    if config.optimizer == "adamw_8bit":
        if config.sharding != "none":
            raise DataEngineError(
                "optimizer=adamw_8bit keeps its moments in blocks that cannot be sharded, found sharding=fsdp2; take "
                "optimizer=adamw, whose moments are shared among the processes, or sharding=none"
            )
        return _eight_bit(ordered, config)
    return torch.optim.AdamW(ordered, lr=config.lr, betas=config.betas, fused=device.type in ("cpu", "cuda"))


def _eight_bit(groups: list[dict[str, Any]], config: LoopConfig) -> torch.optim.Optimizer:
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError:
        raise DataEngineError(
            "optimizer=adamw_8bit needs bitsandbytes, which is not installed; `pip install bitsandbytes`, or leave "
            "optimizer=adamw"
        ) from None
    return AdamW8bit(groups, lr=config.lr, betas=config.betas)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group, by its factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get(LR_SCALE, 1.0)  # runs of before had no factors
