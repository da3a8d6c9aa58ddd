"""Transformer layers that the latent action model and the world model share.

Parameter names are those of villa-X's released latent action model.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from models.layers.norm import HeadNorm, RMSNorm


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


class CrossAttention(nn.Module):
    """Attention from one sequence to another; to itself in the decoder."""

    def __init__(self, width: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.q_layernorm = HeadNorm(width // heads) if qk_norm else nn.Identity()
        self.k_layernorm = HeadNorm(width // heads) if qk_norm else nn.Identity()

    def forward(self, x: Float[Tensor, "b n d"], source: Float[Tensor, "b m d"]) -> Float[Tensor, "b n d"]:
        """Let every token of `x` attend to all of `source`."""
        q = rearrange(self.q(x), "b n (heads c) -> b heads n c", heads=self.heads)
        k, v = rearrange(self.kv(source), "b m (two heads c) -> two b heads m c", two=2, heads=self.heads)
        x = F.scaled_dot_product_attention(self.q_layernorm(q), self.k_layernorm(k), v)
        return self.proj(rearrange(x, "b heads n c -> b n (heads c)"))


class DecoderBlock(nn.Module):
    """A pre-norm transformer block; its norms can be scaled and shifted by the latent action."""

    def __init__(self, width: int, heads: int, qk_norm: bool, film: bool) -> None:
        super().__init__()
        self.pre_norm_attn = RMSNorm(width)
        self.attn = CrossAttention(width, heads, qk_norm)
        self.layer_scale_attn = LayerScale(width)
        self.pre_norm_mlp = RMSNorm(width)
        # the checkpoint's numbering: index 1 was dropout
        self.mlp = nn.Sequential(SwishGLU(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width))
        self.layer_scale_mlp = LayerScale(width)
        self.film = nn.Linear(width, 4 * width) if film else None

    def forward(self, x: Float[Tensor, "b n d"], action: Float[Tensor, "b 1 d"]) -> Float[Tensor, "b n d"]:
        """Attend and feed forward."""
        attn_in = self.pre_norm_attn(x)
        if self.film is None:
            x = x + self.layer_scale_attn(self.attn(attn_in, attn_in))
            return x + self.layer_scale_mlp(self.mlp(self.pre_norm_mlp(x)))
        scale_attn, shift_attn, scale_mlp, shift_mlp = self.film(F.silu(action)).chunk(4, dim=-1)
        attn_in = attn_in * (1 + scale_attn) + shift_attn
        x = x + self.layer_scale_attn(self.attn(attn_in, attn_in))
        return x + self.layer_scale_mlp(self.mlp(self.pre_norm_mlp(x) * (1 + scale_mlp) + shift_mlp))
