"""The slow twin of a model: an exponential moving average of its weights, often better than the last step's."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Averages what is trained, in float32. Early steps count for little: decay grows as (1 + step) / (10 + step)."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.shadow: dict[str, Tensor] = {
            name: p.detach().float().clone(memory_format=torch.contiguous_format) for name, p in self._trained.items()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights after optimiser step `step`."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        weights = [p.detach().float() for p in self._trained.values()]
        torch._foreach_lerp_(list(self.shadow.values()), weights, weight)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model have the averaged weights inside the block."""
        own = {name: p.detach().clone() for name, p in self._trained.items()}
        try:
            self._put(self.shadow)
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, p in self._trained.items():
            p.copy_(values[name])
