"""An exponential moving average of a model's weights, often better than the last step's."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel


class Ema:
    """Averages what is trained, by torch's `AveragedModel`.

    Early steps count for little: the decay grows as (1 + step) / (10 + step). Which step it is follows from the run, so
    the averages are all the state that there is.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay, self._weight = decay, 0.0
        self._trained = [name for name, p in model.named_parameters() if p.requires_grad]
        self._averaged = AveragedModel(model, multi_avg_fn=self._average)
        self._averaged.n_averaged.fill_(1)  # at 0 the first update would copy the weights

    def _average(self, averaged: PARAM_LIST, weights: PARAM_LIST, _num_averaged: Tensor | int) -> None:
        torch._foreach_lerp_(averaged, weights, self._weight)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the weights after optimiser step `step`."""
        self._weight = 1 - min(self._decay, (1 + step) / (10 + step))
        self._averaged.update_parameters(model)

    def weights(self) -> Mapping[str, Tensor]:
        """Give the averages of what is trained, by name; writing to them sets them."""
        averaged = dict(self._averaged.module.named_parameters())
        return {name: averaged[name].detach() for name in self._trained}

    @torch.no_grad()
    def model(self, trained: nn.Module) -> nn.Module:
        """Give the model with averaged weights, and with the buffers of the trained one."""
        for buffer, now in zip(self._averaged.module.buffers(), trained.buffers(), strict=True):
            buffer.copy_(now)
        return self._averaged.module
