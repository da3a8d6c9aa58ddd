"""An exponential moving average of a model's weights, often better than the last step's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pipelines.training.sharding import local


class Ema:
    """Averages what is trained; of a sharded model each rank averages its own shards.

    Early steps count for little: the decay grows as (1 + step) / (10 + step). Which step it is follows from the run, so
    the averages are all the state that there is.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._averages = {name: local(p).clone() for name, p in model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the weights after optimiser step `step`."""
        weights = [local(p) for p in self._trained(model)]
        torch._foreach_lerp_(list(self._averages.values()), weights, 1 - min(self._decay, (1 + step) / (10 + step)))

    def weights(self) -> Mapping[str, Tensor]:
        """Give the averages of what is trained, by name; writing to them sets them."""
        return self._averages

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Give the model the averages as its weights; afterwards it has its own again, to the last bit."""
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    @torch.no_grad()
    def _swap(self, model: nn.Module) -> None:
        for average, p in zip(self._averages.values(), self._trained(model), strict=True):
            own = local(p).clone()
            local(p).copy_(average)
            average.copy_(own)

    def _trained(self, model: nn.Module) -> list[nn.Parameter]:
        own = dict(model.named_parameters())
        return [own[name] for name in self._averages]
