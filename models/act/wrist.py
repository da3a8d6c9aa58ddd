"""The wrist camera: a ResNet-18 trunk with the usual parameter names, and a resampler."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from models.act.config import WristConfig
from models.pictures import resize

# ImageNet's, which ResNet-18's published weights were trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2015, arXiv:1512.03385)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Float[Tensor, "b c height width"]) -> Float[Tensor, "b d height2 width2"]:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Trunk(nn.Module):
    """ResNet-18 without pooling and classifier: one cell per 32 pixels."""

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = nn.Sequential(BasicBlock(widths[0], widths[0], 1), BasicBlock(widths[0], widths[0], 1))
        self.layer2 = nn.Sequential(BasicBlock(widths[0], widths[1], 2), BasicBlock(widths[1], widths[1], 1))
        self.layer3 = nn.Sequential(BasicBlock(widths[1], widths[2], 2), BasicBlock(widths[2], widths[2], 1))
        self.layer4 = nn.Sequential(BasicBlock(widths[2], widths[3], 2), BasicBlock(widths[3], widths[3], 1))

    def forward(self, pixels: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b c height2 width2"]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(pixels))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class Resampler(nn.Module):
    """Resampler: learned queries attend to a set of cells; bias at the end only, no norm or residual."""

    def __init__(self, config: WristConfig, width: int) -> None:
        super().__init__()
        cells, inner = config.widths[-1], config.num_heads * config.head_dim
        self.num_heads = config.num_heads
        self.queries = nn.Parameter(torch.randn(config.num_tokens, cells) * cells**-0.5)
        self.to_q = nn.Linear(cells, inner, bias=False)
        self.to_kv = nn.Linear(cells, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width)

    def forward(self, cells: Float[Tensor, "b n c"]) -> Float[Tensor, "b k d"]:
        q, k, v = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x in (self.to_q(self.queries.expand(cells.shape[0], -1, -1)), *self.to_kv(cells).chunk(2, dim=-1))
        )
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class WristEncoder(nn.Module):
    """Wrist picture to tokens of the context group."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: WristConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config.widths)
        self.resampler = Resampler(config, width)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, image: UInt8[Tensor, "b c height width"]) -> Float[Tensor, "b k d"]:
        """Encode uint8 pictures of any size."""
        pixels = (resize(image, self.config.image_size).float() / 255.0 - self.mean) / self.std
        cells = self.trunk(pixels.to(self.trunk.conv1.weight.dtype)).flatten(2).transpose(1, 2)
        return self.resampler(cells)
