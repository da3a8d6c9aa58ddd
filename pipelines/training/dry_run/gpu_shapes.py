"""What a forward pass keeps on a GPU, counted on the meta device, which has neither autocast nor fused attention.

Held against what an H200 took (benchmarks/results/2026-11-30_dry_run.md) the plans of `paper` are 4 to 11 % high.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

NARROW = frozenset(
    (
        F.linear,
        F.conv2d,
        torch.conv2d,
        torch.matmul,
        Tensor.matmul,
        Tensor.__matmul__,
        Tensor.__rmatmul__,
        torch.bmm,
        torch.baddbmm,
        torch.addmm,
        torch.mm,
        F.scaled_dot_product_attention,
    )
)
"""Functions that autocast computes in bfloat16."""
WIDE = frozenset(
    (
        F.layer_norm,
        torch.layer_norm,
        F.softmax,
        torch.softmax,
        Tensor.softmax,
        F.mse_loss,
        F.cross_entropy,
        torch.sum,
        Tensor.sum,
        torch.pow,
        Tensor.pow,
        torch.rsqrt,
        Tensor.rsqrt,
    )
)
"""Functions that autocast computes in float32 (torch.amp's list, as far as our models call it)."""


class GpuShapes(TorchFunctionMode):
    """Gives tensors the precision that autocast would give them, and attention the memory of a fused kernel."""

    cast_bytes: int
    """Of weights that were cast, each once, as autocast does; `uncounted` leaves them out of other counts."""

    def __init__(self, bf16: bool, uncounted: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self.bf16, self._uncounted = bf16, uncounted
        self._cast: set[int] = set()
        self.cast_bytes = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function as it would be called on a GPU."""
        given = (tuple(args), kwargs or {})
        if self.bf16 and (func in NARROW or func in WIDE):
            given = tree_map(self._narrow if func in NARROW else _widen, given)
        if func is F.scaled_dot_product_attention:
            (query, key, value, *_), more = given
            return FusedAttention.apply(query, key, value, more.get("attn_mask"))
        return func(*given[0], **given[1])

    def _narrow(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        if not isinstance(value, nn.Parameter):
            return value.to(torch.bfloat16)
        with self._uncounted():
            narrow = value.to(torch.bfloat16)
        self.cast_bytes += 0 if id(value) in self._cast else narrow.nbytes
        self._cast.add(id(value))
        return narrow


def _widen(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value


class FusedAttention(torch.autograd.Function):
    """The shapes of attention in one kernel: kept are its inputs, its result and a number for each row."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        """Give a tensor of the result's shape."""
        mixed = query.new_empty((*query.shape[:-1], value.shape[-1]))
        row_sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, mixed, row_sums, *(() if bias is None else (bias,)))
        return mixed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Give tensors of the inputs' shapes."""
        query, key, value = ctx.saved_tensors[:3]
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), None
