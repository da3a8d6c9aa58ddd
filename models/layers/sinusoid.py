"""Sinusoids that turn a number or a position into a vector; the layouts differ, as in the authors' code."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

SCALAR_WIDTH = 256


def time_sinusoid(t: Float[Tensor, "*b"], width: int, max_period: float = 100.0) -> Float[Tensor, "*b d"]:
    """Encode flow times: sines first, frequencies max_period^(-j / (width / 2 - 1)), t unscaled."""
    half = width // 2
    j = torch.arange(half, device=t.device, dtype=torch.float32)
    angle = t.float()[..., None] * max_period ** (-j / (half - 1))
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def scalar_sinusoid(value: Float[Tensor, "b"], width: int = SCALAR_WIDTH) -> Float[Tensor, "b d"]:
    """Encode a rate or a count: cosines first, frequencies 10000^(-j / (width / 2))."""
    half = width // 2
    j = torch.arange(half, device=value.device, dtype=torch.float32)
    angle = value.float()[:, None] * 1e4 ** (-j / half)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class ScalarEmbedding(nn.Module):
    """A number as one token: sinusoid, Linear, SiLU, Linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(SCALAR_WIDTH, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, value: Float[Tensor, "b"]) -> Float[Tensor, "b d"]:
        return self.mlp(scalar_sinusoid(value).to(next(self.parameters()).dtype))


def sincos_1d(positions: Int[Tensor, "*n"], width: int) -> Float[Tensor, "*n width"]:
    """Encode positions as sines, then cosines, of frequencies 1 down to about 1/10000."""
    frequency = 10000.0 ** (-torch.arange(width // 2, device=positions.device).double() / (width // 2))
    angle = positions.double()[..., None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1).float()


def sincos_2d(grid: int, width: int) -> Float[Tensor, "n width"]:
    """Encode the patches of a square grid, row by row: the column in the first half, the row in the second."""
    row, column = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    return torch.cat([sincos_1d(column.flatten(), width // 2), sincos_1d(row.flatten(), width // 2)], dim=-1)
