"""Attention over the keys and values of one or several streams of tokens."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

ALIGNED = 16
"""Numbers that a bias's rows take a multiple of in memory: the fused kernel copies one that is not aligned."""


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
    """Concatenate the tokens of several streams; those of one alone are not copied."""
    if len(parts) == 1:
        return parts[0]
    return KeyValue(torch.cat([p.key for p in parts], dim=2), torch.cat([p.value for p in parts], dim=2))


def row_bias(mask: Bool[Tensor, "b n m"], shared: int, dtype: torch.dtype) -> Float[Tensor, "b 1 hn m"]:
    """Turn a mask, true where a row may attend, into what is added to scores: 0, or the lowest number there is.

    Its rows are those of `attend`: once for each of the query heads that share a key head.
    """
    b, n, m = mask.shape
    bias = torch.zeros(b, 1, shared, n, -(-m // ALIGNED) * ALIGNED, dtype=dtype, device=mask.device)
    bias[..., :m].masked_fill_(~mask[:, None, None], torch.finfo(dtype).min)
    return bias.flatten(2, 3)[..., :m]


def attend(
    query: Float[Tensor, "b n h d"],
    kv: KeyValue,
    bias: Float[Tensor, "b 1 hn m"] | None = None,
    soft_cap: float = 0.0,
) -> Float[Tensor, "b n hd"]:
    """Attend with grouped queries: consecutive query heads share one key head. `bias` is that of `row_bias`.

    A row that may attend to nothing averages everything: finite, and meaningless. `soft_cap` c bends a score s to
    c tanh(s / c); 0 leaves scores alone.
    """
    b, n, num_heads, head_dim = query.shape
    groups = kv.key.shape[1]
    shared = num_heads // groups
    # Heads that share keys become rows of one product: no copy of the keys per head.
    rows = query.reshape(b, n, groups, shared, head_dim).permute(0, 2, 3, 1, 4).flatten(2, 3)  # (b, g, shared n, d)
    mixed = attend_rows(rows, KeyValue(kv.key.to(rows.dtype), kv.value.to(rows.dtype)), bias, soft_cap)
    return mixed.unflatten(2, (shared, n)).permute(0, 3, 1, 2, 4).reshape(b, n, num_heads * head_dim)


def attend_rows(
    rows: Float[Tensor, "b g r d"], kv: KeyValue, bias: Float[Tensor, "b #g r m"] | None, soft_cap: float
) -> Float[Tensor, "b g r d"]:
    """Attend with one query head for each key head."""
    # On a CPU two products beat the fused kernel 3 to 7 times at the sizes of the tiny preset.
    if soft_cap > 0.0 or rows.device.type == "cpu":
        return eager_attention(rows, kv.key, kv.value, bias, soft_cap)
    return F.scaled_dot_product_attention(rows, kv.key, kv.value, attn_mask=bias)


def eager_attention(rows: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, soft_cap: float) -> Tensor:
    """Attend in two matrix products: `F.scaled_dot_product_attention` with an optional bound on scores."""
    score = (rows * rows.shape[-1] ** -0.5) @ key.mT
    if soft_cap > 0.0:
        score = soft_cap * torch.tanh(score.float() / soft_cap)
    if bias is not None:
        score = score + bias
    return score.softmax(dim=-1).to(value.dtype) @ value


def attend_briefly(
    query: Float[Tensor, "b h n d"], key: Float[Tensor, "b h n d"], value: Float[Tensor, "b h n d"], causal: bool
) -> Float[Tensor, "b h n d"]:
    """Attend within very many short sequences, as two products of batches.

    Fused kernels of a GPU fill each sequence up to 128 rows, and their counters end where 64 clips of 256 patches have
    2^31 numbers.
    """
    score = (query * query.shape[-1] ** -0.5) @ key.mT
    if causal:
        later = torch.ones(score.shape[-2:], dtype=torch.bool, device=score.device).triu(1)
        score = score.masked_fill(later, float("-inf"))
    return score.softmax(dim=-1).to(value.dtype) @ value
