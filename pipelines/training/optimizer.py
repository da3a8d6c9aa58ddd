"""AdamW, which weights it lets decay, and how fast each part learns."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

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


def make_optimizer(
    model: nn.Module, config: LoopConfig, device: torch.device, lr_scale: Callable[[str], float] = lambda name: 1.0
) -> torch.optim.Optimizer:
    """Make the optimiser of all weights that are trained; `lr_scale` gives each one's factor on the learning rate."""
    chosen = decays(model)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            groups.setdefault((lr_scale(name), name in chosen), []).append(p)
    ordered = [
        {"params": groups[scale, decay], "weight_decay": config.weight_decay if decay else 0.0, LR_SCALE: scale}
        for scale, decay in sorted(groups, key=lambda key: (-key[0], not key[1]))
    ]
    if config.optimizer == "adamw_8bit":
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
