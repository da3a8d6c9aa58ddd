"""How alike two pictures are, by measures without learnt weights. Pictures (b, 3, height, width), colours from 0 to 1.

There is no LPIPS here: its weights must be downloaded. `edge_distance` is what stands in for it, and is no more than
its name says: it sees blur and displaced edges, not meaning.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

SSIM_SIGMA = 1.5
SSIM_RADIUS = 5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
EDGE_C = 0.0026
"""170 on a scale of 0 to 255, as in Xue et al. 2014."""
EDGE_SCALES = 3


def squared_error(one: Float[Tensor, "b 3 h w"], other: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b"]:
    """Mean squared difference of each picture."""
    return (one - other).square().mean(dim=(1, 2, 3))


def ssim(one: Float[Tensor, "b 3 h w"], other: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b"]:
    """Structural similarity (Wang et al. 2004): Gaussian window of 11, sigma 1.5, whole windows only; 1 is equal."""
    offset = torch.arange(-SSIM_RADIUS, SSIM_RADIUS + 1, device=one.device, dtype=one.dtype)
    window = torch.exp(-(offset**2) / (2 * SSIM_SIGMA**2))
    window = window / window.sum()

    def blur(x: Tensor) -> Tensor:
        c = x.shape[1]
        x = F.conv2d(x, window.expand(c, 1, 1, -1), groups=c)
        return F.conv2d(x, window.view(-1, 1).expand(c, 1, -1, 1), groups=c)

    m1, m2 = blur(one), blur(other)
    v1, v2 = blur(one * one) - m1 * m1, blur(other * other) - m2 * m2
    both = blur(one * other) - m1 * m2
    alike = (2 * m1 * m2 + SSIM_C1) * (2 * both + SSIM_C2)
    return (alike / ((m1 * m1 + m2 * m2 + SSIM_C1) * (v1 + v2 + SSIM_C2))).mean(dim=(1, 2, 3))


def edge_distance(one: Float[Tensor, "b 3 h w"], other: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b"]:
    """Dissimilarity of edges: 1 - gradient magnitude similarity (Xue et al. 2014), mean over three sizes; 0 is equal.

    Gradients are Prewitt's, of the mean of the colours; each size is half the one before.
    """
    pair = torch.cat([one, other]).mean(dim=1, keepdim=True)
    across = torch.tensor([[1.0, 0, -1]] * 3, device=one.device, dtype=one.dtype) / 3
    filters = torch.stack([across, across.T])[:, None]
    total = torch.zeros(len(one), device=one.device, dtype=one.dtype)
    for _ in range(EDGE_SCALES):
        size = F.conv2d(pair, filters).square().sum(dim=1).sqrt()
        g1, g2 = size.chunk(2)
        total += 1 - ((2 * g1 * g2 + EDGE_C) / (g1 * g1 + g2 * g2 + EDGE_C)).mean(dim=(1, 2))
        pair = F.avg_pool2d(pair, 2)
    return total / EDGE_SCALES
