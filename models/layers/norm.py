"""Root-mean-square norms (Zhang and Sennrich 2019, arXiv:1910.07467)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class GemmaRMSNorm(nn.Module):
    """Scales a vector to unit root mean square; the learned gain is stored as its difference from 1."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Normalise in float32 whatever the input's precision, as Gemma does."""
        return F.rms_norm(x.float(), self.weight.shape, self.gain(), self.eps).to(x.dtype)

    def gain(self) -> Float[Tensor, "d"]:
        """Give the factor of every channel, in float32."""
        return 1.0 + self.weight.float()


class HeadNorm(nn.LayerNorm):
    """Layer norm of the few numbers of an attention head, of which there are millions.

    A GPU's own kernel gives each of them threads of its own; sums and products over all at once do the same there, up
    to rounding.
    """

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Normalise in float32."""
        if not x.is_cuda:
            return super().forward(x)
        y = x.float()
        variance, mean = torch.var_mean(y, dim=-1, correction=0, keepdim=True)
        return ((y - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias).to(x.dtype)


class RMSNorm(nn.Module):
    """Scales a vector to root-mean-square 1, then by learnt gains."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Normalise; the tiny constant only guards the zero vector."""
        return F.rms_norm(x, self.g.shape, self.g, eps=1e-16)
