"""Work and memory of a forward and backward pass, on the meta device: shapes alone, no numbers."""

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pipelines.training.blocks import checkpoint_blocks
from pipelines.training.protocols import Trainable


@dataclass(frozen=True)
class PassCost:
    """Of some windows in one process."""

    flops: int
    """Two for each number of a matrix that meets one of another; with recomputation, if there is any."""
    activations: int
    """Bytes that the forward pass leaves for the backward pass."""
    peak: int
    """Most bytes at once beside weights and pictures, gradients among them."""

    def scaled(self, factor: float, gradients: int) -> "PassCost":
        """Give the cost of `factor` times as many windows; gradients do not grow with them."""
        grown = max(self.peak - gradients, self.activations)
        activations = int(self.activations * factor)
        return PassCost(int(self.flops * factor), activations, max(activations, int(grown * factor) + gradients))


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that are made while it is on, as long as somebody has them."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._sizes: dict[int, int] = {}
        for tensor in known:
            self._see(tensor, counts=False)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call an operation and look at what it makes."""
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor):
                self._see(each)
        return made

    def _see(self, tensor: Tensor, *, counts: bool = True) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes() if counts else 0
            self.live += self._sizes[key]
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.live -= self._sizes.pop(key, 0)


def pass_cost(make: Callable[[], nn.Module], batch: Any, *, recompute: bool) -> PassCost:
    """Take a batch through a model and back without computing anything."""
    with torch.device("meta"):
        model = make()
    model.train()
    if recompute:
        checkpoint_blocks(model)
    there = batch.to(torch.device("meta"))
    known = [*model.parameters(), *model.buffers(), *(t for t in tree_leaves(vars(there)) if isinstance(t, Tensor))]
    with FlopCounterMode(display=False) as counter, LiveBytes(known) as memory:
        loss, _ = cast(Trainable, model).loss(there, None, None)
        activations = memory.live
        loss.backward()
    return PassCost(counter.get_total_flops(), activations, memory.peak)
