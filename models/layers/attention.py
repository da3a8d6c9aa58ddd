"""Attention over the keys and values of one or several streams of tokens."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


class KeyValue(NamedTuple):
    """Keys and values of one block; a list of them, one per block, is a stream's KV cache. g key heads, m tokens."""

    key: Float[Tensor, "b g m d"]
    value: Float[Tensor, "b g m d"]

    def detach(self) -> "KeyValue":
        """Cut the gradient: a stream that attends to these tokens does not train the stream that computed them."""
        return KeyValue(self.key.detach(), self.value.detach())

    def repeat(self, times: int) -> "KeyValue":
        """Repeat every batch row `times` times in a row."""
        return KeyValue(self.key.repeat_interleave(times, 0), self.value.repeat_interleave(times, 0))


def concatenate(parts: list[KeyValue]) -> KeyValue:
    """Concatenate the tokens of several streams."""
    return KeyValue(torch.cat([p.key for p in parts], dim=2), torch.cat([p.value for p in parts], dim=2))


def attend(
    query: Float[Tensor, "b n h d"],
    kv: KeyValue,
    mask: Bool[Tensor, "b n m"] | None = None,
    soft_cap: float = 0.0,
) -> Float[Tensor, "b n hd"]:
    """Attend with grouped queries: consecutive query heads share one key head. `mask` is true where a row may attend.

    A row that may attend to nothing averages everything: finite, and meaningless. `soft_cap` c bends a score s to
    c tanh(s / c); 0 leaves scores alone.
    """
    b, n, num_heads, head_dim = query.shape
    groups = kv.key.shape[1]
    shared = num_heads // groups
    # Heads that share keys become rows of one product: no copy of the keys per head.
    rows = query.reshape(b, n, groups, shared, head_dim).permute(0, 2, 3, 1, 4).flatten(2, 3)  # (b, g, shared n, d)
    key, value = kv.key.to(rows.dtype), kv.value.to(rows.dtype)
    bias = None
    if mask is not None:
        bias = torch.zeros_like(mask, dtype=rows.dtype).masked_fill_(~mask, torch.finfo(rows.dtype).min)
        bias = bias[:, None, None].expand(-1, -1, shared, -1, -1).flatten(2, 3)  # (b, 1, shared n, m)
    # On a CPU two products beat the fused kernel 3 to 7 times at the sizes of the tiny preset.
    if soft_cap > 0.0 or rows.device.type == "cpu":
        mixed = eager_attention(rows, key, value, bias, soft_cap)
    else:
        mixed = F.scaled_dot_product_attention(rows, key, value, attn_mask=bias)
    return mixed.unflatten(2, (shared, n)).permute(0, 3, 1, 2, 4).reshape(b, n, num_heads * head_dim)


def eager_attention(rows: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, soft_cap: float) -> Tensor:
    """Attend in two matrix products: `F.scaled_dot_product_attention` with an optional bound on scores."""
    score = (rows * rows.shape[-1] ** -0.5) @ key.mT
    if soft_cap > 0.0:
        score = soft_cap * torch.tanh(score.float() / soft_cap)
    if bias is not None:
        score = score + bias
    return score.softmax(dim=-1).to(value.dtype) @ value
