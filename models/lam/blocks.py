"""The layers the latent action model is made of. Parameter names are those of the released checkpoint."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn


def sincos_1d(positions: Int[Tensor, "*n"], width: int) -> Float[Tensor, "*n width"]:
    """Encode positions as sines, then cosines, of frequencies 1 down to about 1/10000."""
    frequency = 10000.0 ** (-torch.arange(width // 2, device=positions.device).double() / (width // 2))
    angle = positions.double()[..., None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1).float()


def sincos_2d(grid: int, width: int) -> Float[Tensor, "n width"]:
    """Encode the patches of a square grid, row by row: the column in the first half, the row in the second."""
    row, column = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    return torch.cat([sincos_1d(column.flatten(), width // 2), sincos_1d(row.flatten(), width // 2)], dim=-1)


def xavier_(module: nn.Module) -> None:
    """Start every linear layer and patch convolution xavier-uniform, with zero bias."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(part.weight.view(part.weight.shape[0], -1))
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class PatchEmbed(nn.Module):
    """Cuts a picture into patches, row by row."""

    def __init__(self, patch_size: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch_size, stride=patch_size)

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b n d"]:
        """Embed every patch."""
        return self.proj(image).flatten(2).transpose(1, 2)


class RMSNorm(nn.Module):
    """Scales a vector to root-mean-square 1, then by learnt gains."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Normalise; the tiny constant only guards the zero vector."""
        return F.rms_norm(x, self.g.shape, self.g, eps=1e-16)


class LayerScale(nn.Module):
    """Learnt gain of a residual branch."""

    def __init__(self, width: int, start: float = 0.1) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Scale every channel."""
        return x * self.gamma


class SwishGLU(nn.Module):
    """One projection, halved into a value and its gate."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, 2 * out)

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b out"]:
        """Gate the value by SiLU."""
        value, gate = self.project(x).chunk(2, dim=-1)
        return value * F.silu(gate)


class SelfAttention(nn.Module):
    """Attention within one sequence, the encoder's kind."""

    def __init__(self, width: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.q_norm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()

    def forward(self, x: Float[Tensor, "b n d"], causal: bool = False) -> Float[Tensor, "b n d"]:
        """Attend to every token, or to the earlier ones and itself."""
        q, k, v = rearrange(self.qkv(x), "b n (three heads c) -> three b heads n c", three=3, heads=self.heads)
        x = F.scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v, is_causal=causal)
        return self.proj(rearrange(x, "b heads n c -> b n (heads c)"))


class CrossAttention(nn.Module):
    """Attention from one sequence to another; to itself in the decoder."""

    def __init__(self, width: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.q_layernorm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()
        self.k_layernorm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()

    def forward(self, x: Float[Tensor, "b n d"], source: Float[Tensor, "b m d"]) -> Float[Tensor, "b n d"]:
        """Let every token of `x` read all of `source`."""
        q = rearrange(self.q(x), "b n (heads c) -> b heads n c", heads=self.heads)
        k, v = rearrange(self.kv(source), "b m (two heads c) -> two b heads m c", two=2, heads=self.heads)
        x = F.scaled_dot_product_attention(self.q_layernorm(q), self.k_layernorm(k), v)
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
    """Attends over each frame's patches, then over each patch's past, then feeds forward.

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
        """Mix space and time; only the first block is told the time."""
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
