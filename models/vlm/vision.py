"""The vision tower: SigLIP, or its blocks behind a convolutional stem."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from models.layers.attention import KeyValue, attend
from models.vlm.config import VisionConfig


class VisionAttention(nn.Module):
    """Full attention among a picture's tokens."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        q, k, v = (proj(x).unflatten(-1, (self.num_heads, -1)) for proj in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(attend(q, KeyValue(k.transpose(1, 2), v.transpose(1, 2))))


class VisionBlock(nn.Module):
    """One pre-norm transformer block of SigLIP."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, config.eps)
        self.attention = VisionAttention(config.width, config.num_heads)
        self.norm2 = nn.LayerNorm(config.width, config.eps)
        self.fc1 = nn.Linear(config.width, config.mlp_width)
        self.fc2 = nn.Linear(config.mlp_width, config.width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate="tanh"))


def conv_stem(config: VisionConfig) -> nn.Sequential:
    """Halve the picture log2(patch_size) times, widening up to the tower's width.

    Weights start large enough to carry a picture through: torch's own would shrink it by three at every layer, until
    positions outweigh it and the policy learns to ignore the picture.
    """
    layers: list[nn.Module] = []
    channels = 3
    for i in range(int(math.log2(config.patch_size))):
        wider = min(config.stem_width * 2**i, config.width)
        layers += [nn.Conv2d(channels, wider, 3, 2, 1), nn.SiLU()]
        channels = wider
    stem = nn.Sequential(*layers, nn.Conv2d(channels, config.width, 1))
    for layer in stem:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return stem


def grid_sinusoid(num_tokens: int, width: int) -> Float[Tensor, "n d"]:
    """Start positions as sines and cosines of row and column, so that neighbours are alike before any training."""
    side = math.isqrt(num_tokens)
    at = (torch.arange(side) + 0.5) / side  # 0 to 1
    waves = at[:, None] * torch.logspace(0.0, math.log2(side), width // 4, base=2.0) * (math.pi / 2)
    line = torch.cat([waves.sin(), waves.cos()], dim=-1)  # (side, width / 2)
    rows, columns = line[:, None].expand(-1, side, -1), line[None].expand(side, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


POSITION_SCALE = 0.5


class VisionTower(nn.Module):
    """Picture to tokens, row by row from the top left."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        patch = config.patch_size
        self.stem = conv_stem(config) if config.stem == "conv" else nn.Conv2d(3, config.width, patch, patch)
        self.position = nn.Parameter(grid_sinusoid(config.num_tokens, config.width) * POSITION_SCALE)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.width, config.eps)
        self.register_buffer("mean", torch.tensor(config.image_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.image_std).view(3, 1, 1), persistent=False)

    def forward(self, image: UInt8[Tensor, "b 3 height width"]) -> Float[Tensor, "b n d"]:
        """Encode pictures of the configured size."""
        pixels = (image.float() / 255.0 - self.mean) / self.std
        pixels = pixels.to(self.position.dtype, memory_format=torch.channels_last)
        x = self.stem(pixels).flatten(2).transpose(1, 2)  # (b, n, d)
        if self.config.stem == "conv":
            x = F.layer_norm(x, x.shape[-1:])  # pictures and positions at one scale, in every picture
        x = x + self.position
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
