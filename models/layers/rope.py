"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864): first half of a head paired with its second half."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Rope(NamedTuple):
    """Cosines and signed sines of every position's angles, one per number of a head, which all heads share (h = 1)."""

    cos: Float[Tensor, "n h d"]
    sin: Float[Tensor, "n h d"]

    def to(self, dtype: torch.dtype) -> "Rope":
        """Cast to the precision of what is rotated."""
        return Rope(self.cos.to(dtype), self.sin.to(dtype))

    def last(self, count: int | None) -> "Rope":
        """Keep the last positions; None keeps all."""
        return self if count is None else Rope(self.cos[-count:], self.sin[-count:])


def rope(positions: Int[Tensor, "n"], head_dim: int, theta: float) -> Rope:
    """Tabulate position * theta^(-2j / head_dim), j < head_dim / 2, for both halves of a head, in float32."""
    j = torch.arange(head_dim // 2, device=positions.device, dtype=torch.float32)
    angle = positions.float()[:, None, None] * theta ** (-2.0 * j / head_dim)
    cos, sin = angle.cos(), angle.sin()
    return Rope(torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1))


def apply_rope(x: Float[Tensor, "*b n h d"], table: Rope) -> Float[Tensor, "*b n h d"]:
    """Rotate each pair of a head's numbers by its position's angle."""
    cos, sin = table.to(x.dtype)
    return x * cos + x.roll(x.shape[-1] // 2, dims=-1) * sin
