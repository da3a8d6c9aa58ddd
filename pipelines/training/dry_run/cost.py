"""Work and memory of a forward and backward pass, on the meta device: shapes alone, no numbers."""

import functools
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pipelines.training.blocks import blocks, checkpoint_blocks
from pipelines.training.dry_run.gpu_shapes import GpuShapes
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
    casts: int = 0
    """Bytes of weights in the precision of autocast, which do not grow with the windows."""

    def scaled(self, factor: float, gradients: int) -> "PassCost":
        """Give the cost of `factor` times as many windows; gradients do not grow with them."""
        grown = max(self.peak - gradients, self.activations)
        activations = int(self.activations * factor)
        peak = max(activations, int(grown * factor) + gradients)
        return PassCost(int(self.flops * factor), activations, peak, self.casts)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that are made while it is on, as long as somebody has them."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.counts = True
        self._sizes: dict[int, int] = {}
        for tensor in known:
            self._see(tensor, False)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call an operation and look at what it makes."""
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor):
                self._see(each, self.counts)
        return made

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Leave out what is made in the block."""
        self.counts, before = False, self.counts
        try:
            yield
        finally:
            self.counts = before

    def _see(self, tensor: Tensor, counts: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes() if counts else 0
            self.live += self._sizes[key]
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.live -= self._sizes.pop(key, 0)


def pass_cost(make: Callable[[], nn.Module], batch: Any, *, recompute: bool, bf16: bool = False) -> PassCost:
    """Take a batch through a model and back as a GPU would, without computing anything."""
    there = batch.to(torch.device("meta"))
    model = _on_meta(make)
    if recompute:
        checkpoint_blocks(model)
    with FlopCounterMode(display=False) as counter:
        cast(Trainable, model).loss(there, None, None)[0].backward()
    model = _on_meta(make)
    known = [*model.parameters(), *model.buffers(), *(t for t in tree_leaves(vars(there)) if isinstance(t, Tensor))]
    with LiveBytes(known) as memory, GpuShapes(bf16, memory.uncounted) as shapes:
        if recompute:
            for block in blocks(model):
                block.forward = functools.partial(_within, shapes, block.forward)  # no mode is on where it runs again
            checkpoint_blocks(model)
        loss, _ = cast(Trainable, model).loss(there, None, None)
        activations = memory.live
        loss.backward()
    return PassCost(counter.get_total_flops(), activations, memory.peak, shapes.cast_bytes)


def _on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return make().train()


def _within(mode: GpuShapes, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with mode:
        return function(*args, **kwargs)
