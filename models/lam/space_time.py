"""The encoder's transformer block, over space and time. Parameter names are those of the released checkpoint."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from models.layers.attention import attend_briefly
from models.layers.norm import HeadNorm

SHORT = 16
"""Tokens up to which a GPU attends in products of batches: attention over time has 8."""


class SelfAttention(nn.Module):
    """Attention within one sequence, the encoder's kind."""

    def __init__(self, width: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.q_norm = HeadNorm(width // heads) if qk_norm else nn.Identity()
        self.k_norm = HeadNorm(width // heads) if qk_norm else nn.Identity()

    def forward(self, x: Float[Tensor, "b n d"], causal: bool = False) -> Float[Tensor, "b n d"]:
        """Attend to every token, or to the earlier ones and itself."""
        q, k, v = rearrange(self.qkv(x), "b n (three heads c) -> three b heads n c", three=3, heads=self.heads)
        q, k = self.q_norm(q), self.k_norm(k)
        if q.is_cuda and q.shape[-2] <= SHORT:
            x = attend_briefly(q, k, v, causal)
        else:
            x = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.proj(rearrange(x, "b heads n c -> b n (heads c)"))


class Mlp(nn.Module):
    """The encoder's feed-forward layer."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Two layers around a tanh-approximated GELU."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class SpaceTimeBlock(nn.Module):
    """Attention over each frame's patches, then causal attention over time at each patch, then a feed-forward layer.

    The branches are modulated by a learnt table (shift, scale and gate of attention, then of the feed-forward layer).
    As released, attention over time reads the residual stream un-normalised and shares the gate of the one over space.
    """

    def __init__(self, width: int, heads: int, hidden: int, qk_norm: bool) -> None:
        super().__init__()
        self.attn = SelfAttention(width, heads, qk_norm)
        self.attn_temp = SelfAttention(width, heads, qk_norm)
        self.mlp = Mlp(width, hidden)
        self.scale_shift_table = nn.Parameter(torch.randn(6, width) / math.sqrt(width))

    def forward(
        self, x: Float[Tensor, "b t n d"], time_pos: Float[Tensor, "t 1 d"] | None = None
    ) -> Float[Tensor, "b t n d"]:
        """Attend over space and time; only the first block adds the position in time."""
        b, t, n, d = x.shape
        shift_attn, scale_attn, gate_attn, shift_mlp, scale_mlp, gate_mlp = self.scale_shift_table

        space = torch.addcmul(shift_attn, F.layer_norm(x, (d,), eps=1e-6), 1 + scale_attn)
        space = self.attn(space.flatten(0, 1)).unflatten(0, (b, t))
        x = x + gate_attn * space

        time = x if time_pos is None else x + time_pos
        time = self.attn_temp(rearrange(time, "b t n d -> (b n) t d"), causal=True)
        x = x + gate_attn * rearrange(time, "(b n) t d -> b t n d", n=n)

        hidden = torch.addcmul(shift_mlp, F.layer_norm(x, (d,), eps=1e-6), 1 + scale_mlp)
        return x + gate_mlp * self.mlp(hidden)
