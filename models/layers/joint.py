"""Stacks of one shape that run side by side, for inference: the streams of a prediction in batched products.

A prediction evaluates small stacks many times on few tokens, so its cost is that of calling operators. Here a block of
all streams takes 17 calls where `GemmaBlock` takes 24 for each. The numbers are those of `Stack.forward` up to
rounding: gains of norms are multiplied into the layers that follow them, and layers with one input are joined.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.layers.attention import KeyValue, attend_rows
from models.layers.config import StackConfig
from models.layers.norm import GemmaRMSNorm
from models.layers.rope import Rope, apply_rope, rope
from models.layers.stack import GemmaBlock, Stack, activate

Cache = list[Float[Tensor, "two b g m d"]]
"""Keys and values of every block: first those of other streams, then a slot of own tokens for each stream."""


class JointBlock(NamedTuple):
    """Weights of one block of s streams."""

    qkv: Float[Tensor, "s heads width"]
    out: Float[Tensor, "s width hd"]
    gate_up: Float[Tensor, "s mlp2 width"]
    down: Float[Tensor, "s width mlp"]
    attention_gain: Float[Tensor, "s 1 width"] | None
    """Of the norms of what attention and MLP give, where there are some."""
    mlp_gain: Float[Tensor, "s 1 width"] | None

    @classmethod
    def of(cls, blocks: Sequence[GemmaBlock], dtype: torch.dtype) -> "JointBlock":
        """Join the weights of one block of each stream."""

        def stacked(make: Callable[[GemmaBlock], Tensor]) -> Tensor:
            return torch.stack([make(block).to(dtype) for block in blocks])

        def gain(name: str) -> Tensor | None:
            norms = [getattr(block, name) for block in blocks]
            if not isinstance(norms[0], GemmaRMSNorm):
                return None
            return torch.stack([norm.gain()[None].to(dtype) for norm in norms])

        return cls(
            stacked(lambda b: normed(b.input_norm, b.q_proj, b.k_proj, b.v_proj)),
            stacked(lambda b: b.o_proj.weight),
            stacked(lambda b: normed(b.mlp_norm, b.mlp.gate_proj, b.mlp.up_proj)),
            stacked(lambda b: b.mlp.down_proj.weight),
            gain("attention_out_norm"),
            gain("mlp_out_norm"),
        )

    def streams(self, first: int, last: int) -> "JointBlock":
        """Keep some of the streams."""
        kept = [None if x is None else x[first:last] for x in self]
        return JointBlock(*kept)  # type: ignore[arg-type] # None where it was


def normed(norm: GemmaRMSNorm, *layers: nn.Linear) -> Float[Tensor, "out width"]:
    """Join layers that read one norm, with its gain in their weights."""
    return torch.cat([layer.weight for layer in layers]) * norm.gain()


def run_block(
    x: Float[Tensor, "s bn width"],
    weights: JointBlock,
    cache: Float[Tensor, "two b g m d"],
    table: Rope,
    bias: Float[Tensor, "b 1 r m"],
    slot: tuple[int, int],
    config: StackConfig,
) -> Float[Tensor, "s bn width"]:
    """Apply one block of s streams of n tokens each; write their keys and values into columns `slot` of the cache."""
    c, b = config, cache.shape[1]
    s, width = x.shape[0], x.shape[-1]
    groups, shared = c.num_kv_heads, c.num_heads // c.num_kv_heads
    y = torch.bmm(F.rms_norm(x, (width,), None, c.eps), weights.qkv.mT).view(
        s, b, -1, c.num_heads + 2 * groups, c.head_dim
    )
    y = apply_rope(y, table)
    own = y[..., c.num_heads :, :].unflatten(3, (2, groups)).permute(3, 1, 4, 0, 2, 5)  # (2, b, g, s, n, d)
    cache[..., slot[0] : slot[1], :].unflatten(3, (s, -1)).copy_(own)
    rows = y[..., : c.num_heads, :].unflatten(3, (groups, shared)).permute(1, 3, 4, 0, 2, 5)  # (b, g, shared, s, n, d)
    key, value = cache.unbind()
    mixed = attend_rows(rows.reshape(b, groups, -1, c.head_dim), KeyValue(key, value), bias, c.soft_cap)
    mixed = mixed.view(rows.shape).permute(3, 0, 4, 1, 2, 5).reshape(s, x.shape[1], -1)
    x = _added(x, mixed, weights.out, weights.attention_gain, c.eps)
    gate, up = torch.bmm(F.rms_norm(x, (width,), None, c.eps), weights.gate_up.mT).chunk(2, dim=-1)
    return _added(x, activate(gate, c.activation) * up, weights.down, weights.mlp_gain, c.eps)


def _added(x: Tensor, y: Tensor, weight: Tensor, gain: Tensor | None, eps: float) -> Tensor:
    """Add a linear map of `y` to `x`, through a norm where there is one."""
    if gain is None:
        return torch.baddbmm(x, y, weight.mT)
    return x + F.rms_norm(torch.bmm(y, weight.mT), x.shape[-1:], None, eps) * gain


class JointStack:
    """Stacks of one shape; each reads other streams, those of the others here too, where `bias` lets it."""

    def __init__(self, stacks: Sequence[Stack], dtype: torch.dtype, compiled: bool = False) -> None:
        """Copy their weights: later changes to the stacks do not reach them."""
        self.config = stacks[0].config
        self.blocks = [JointBlock.of(blocks, dtype) for blocks in zip(*(s.blocks for s in stacks), strict=True)]
        self.run_block = torch.compile(run_block, dynamic=False) if compiled else run_block

    def table(self, positions: Int[Tensor, "n"], dtype: torch.dtype) -> Rope:
        """Tabulate rotations of all heads of a token: queries, keys, and values, which stay as they are."""
        c = self.config
        rotations = rope(positions, c.head_dim, c.rope_theta)
        turned, still = c.num_heads + c.num_kv_heads, c.num_kv_heads
        cos, sin = (part.expand(-1, turned, -1) for part in rotations)
        cos = torch.cat([cos, cos.new_ones(len(cos), still, c.head_dim)], dim=1)
        sin = torch.cat([sin, sin.new_zeros(len(sin), still, c.head_dim)], dim=1)
        return Rope(cos, sin).to(dtype)

    def __call__(
        self,
        x: Float[Tensor, "s b n width"],
        cache: Cache,
        table: Rope,
        bias: Float[Tensor, "b 1 r m"],
        slot: tuple[int, int],
        first: int = 0,
    ) -> Float[Tensor, "s b n width"]:
        """Run streams `first` to `first + s`; their tokens come back with a root mean square of 1, without gain."""
        s, shape = len(x), x.shape
        x = x.flatten(1, 2)
        for weights, kv in zip(self.blocks, cache, strict=True):
            x = self.run_block(x, weights.streams(first, first + s), kv, table, bias, slot, self.config)
        return F.rms_norm(x, shape[-1:], None, self.config.eps).view(shape)
