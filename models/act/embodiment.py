"""Encoders and decoders with separate weights for every embodiment."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class PerEmbodiment(nn.Module):
    """One module per embodiment, applied to that embodiment's rows only.

    Every module runs, if need be on no rows: so each parameter has a gradient in every batch, which sharded and
    distributed training rely on.
    """

    def __init__(self, dims: Sequence[int], make: Callable[[int], nn.Module], out_dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)
        self.out_width = max(out_dims)
        self.bodies = nn.ModuleList(make(dim) for dim in dims)  # the name in saved weights

    def forward(
        self, x: Float[Tensor, "b *h x"], embodiment_id: Int[Tensor, "b"], *more: Float[Tensor, "b *m"]
    ) -> Float[Tensor, "b *h y"]:
        """Apply each row's own module; a narrower output is padded with zeros."""
        sizes = embodiment_id.bincount(minlength=len(self.bodies)).tolist()
        if len(sizes) > len(self.bodies):
            raise ValueError(
                f"embodiment {len(sizes) - 1} is unknown, the model has {len(self.bodies)} (row 0 included)"
            )
        order = embodiment_id.argsort(stable=True)  # rows of one embodiment side by side
        inputs = zip(*(part[order].split(sizes) for part in (x, *more)), strict=True)
        outputs = [module(*parts) for module, parts in zip(self.bodies, inputs, strict=True)]
        padded = [nn.functional.pad(y, (0, self.out_width - y.shape[-1])) for y in outputs]
        return torch.cat(padded)[order.argsort()]


class Unpadded(nn.Module):
    """Applies a module to the dimensions that an embodiment has: they come first, padding after."""

    def __init__(self, dim: int, inner: nn.Module) -> None:
        super().__init__()
        self.dim = dim
        self.inner = inner

    def forward(self, x: Float[Tensor, "*b x"], *more: Tensor) -> Tensor:
        return self.inner(x[..., : self.dim], *more)


class ActionEncoder(nn.Module):
    """A noisy action and its flow time as one token (open-pi-zero's action encoder)."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(dim, width)
        self.linear_2 = nn.Linear(2 * width, width)
        self.linear_3 = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b n x"], time: Float[Tensor, "b d"]) -> Float[Tensor, "b n d"]:
        """Join the time's sinusoid (first) with the action."""
        e = self.linear_1(x)
        e = torch.cat([time[:, None].expand(-1, e.shape[1], -1).to(e.dtype), e], dim=-1)
        return self.linear_3(nn.functional.silu(self.linear_2(e)))


def state_encoder(dims: Sequence[int], width: int) -> PerEmbodiment:
    """One Linear per embodiment."""
    return PerEmbodiment(dims, lambda dim: Unpadded(dim, nn.Linear(dim, width)), [width])


def action_encoder(dims: Sequence[int], width: int) -> PerEmbodiment:
    """One action MLP per embodiment."""
    return PerEmbodiment(dims, lambda dim: Unpadded(dim, ActionEncoder(dim, width)), [width])


def action_decoder(dims: Sequence[int], width: int) -> PerEmbodiment:
    """One Linear per embodiment; dimensions that an embodiment lacks come out as zero."""
    return PerEmbodiment(dims, lambda dim: nn.Linear(width, dim), dims)
