"""AdamW, and which weights it lets decay."""

import torch
from torch import nn

from pipelines.training.settings import LoopConfig


def decays(model: nn.Module) -> set[str]:
    """Name the weights that weight decay pulls to zero: those of linear maps and convolutions.

    Tables, codebooks, queries, positions, gates and scales have two axes too, but nothing keeps them small for good.
    """
    maps = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, maps)}


def make_optimizer(model: nn.Module, config: LoopConfig, device: torch.device) -> torch.optim.Optimizer:
    """Make the optimiser of all weights that are trained."""
    chosen = decays(model)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    groups = [
        {"params": [p for name, p in trained.items() if name in chosen], "weight_decay": config.weight_decay},
        {"params": [p for name, p in trained.items() if name not in chosen], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=device.type in ("cpu", "cuda"))
