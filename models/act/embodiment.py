"""Encoders and decoders with separate weights for every embodiment."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class RowLinear(NamedTuple):
    """A linear layer of a batch's rows: one that they share, or each its own."""

    weight: Float[Tensor, "*b y x"]
    bias: Float[Tensor, "*b y"] | None

    def __call__(self, x: Float[Tensor, "b n x"]) -> Float[Tensor, "b n y"]:
        """Apply it in one product."""
        if self.weight.dim() == 2:
            return F.linear(x, self.weight, self.bias)
        if self.bias is None:
            return torch.bmm(x, self.weight.mT)
        return torch.baddbmm(self.bias[:, None], x, self.weight.mT)

    def times(self, factor: Float[Tensor, "x"] | float, bias_factor: float = 1.0) -> "RowLinear":
        """Multiply factors of the input into the weights; of the output, where both are one number."""
        bias = None if self.bias is None else self.bias * bias_factor
        return RowLinear((self.weight * factor).to(self.weight.dtype), bias)


class Bodies(nn.ModuleList):
    """One module per embodiment. They are no blocks to shard or recompute one by one: a batch uses few of them."""


class PerEmbodiment(nn.Module):
    """One module per embodiment, applied to that embodiment's rows only.

    In training every module runs, if need be on no rows: so each parameter has a gradient in every batch, which
    sharded and distributed training rely on. Otherwise only those of the batch run, however many there are.
    """

    def __init__(self, dims: Sequence[int], make: Callable[[int], nn.Module], out_dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)
        self.out_width = max(out_dims)
        self.bodies = Bodies(make(dim) for dim in dims)  # the name in saved weights

    def forward(
        self, x: Float[Tensor, "b *h x"], embodiment_id: Int[Tensor, "b"], *more: Float[Tensor, "b *m"]
    ) -> Float[Tensor, "b *h y"]:
        """Apply each row's own module; a narrower output is padded with zeros.

        `embodiment_id` belongs on the CPU, whatever the device of `x`: reading it elsewhere waits for the device.
        """
        ids = embodiment_id.cpu()
        self.check(ids.tolist())
        sizes = ids.bincount(minlength=len(self.bodies)).tolist()
        chosen = [i for i, size in enumerate(sizes) if size or torch.is_grad_enabled()]
        parts, mixed = (x, *more), max(sizes) < len(ids)
        order = ids.argsort(stable=True)  # rows of one embodiment side by side
        if mixed:
            parts = tuple(_rows(part, order) for part in parts)
        inputs = zip(*(part.split([sizes[i] for i in chosen]) for part in parts), strict=True)
        outputs = [self.bodies[i](*given) for i, given in zip(chosen, inputs, strict=True)]
        y = torch.cat([F.pad(out, (0, self.out_width - out.shape[-1])) for out in outputs])
        return _rows(y, order.argsort()) if mixed else y

    def check(self, ids: Sequence[int]) -> None:
        """Raise ValueError for an embodiment that the model does not have."""
        if max(ids, default=0) >= len(self.bodies):
            raise ValueError(f"embodiment {max(ids)} is unknown, the model has {len(self.bodies)} (row 0 included)")

    def of_rows(self, ids: Sequence[int], name: str, in_width: int, out_width: int) -> RowLinear:
        """Give the linear layer that is called `name` in each row's module, padded with zeros to these widths."""
        self.check(ids)
        weights, biases = {}, {}
        for i in set(ids):
            layer = self.bodies[i].get_submodule(name)
            assert isinstance(layer, nn.Linear)
            more = out_width - layer.out_features
            weights[i] = F.pad(layer.weight, (0, in_width - layer.in_features, 0, more))
            biases[i] = F.pad(layer.bias, (0, more))
        if len(weights) == 1:
            return RowLinear(weights[ids[0]], biases[ids[0]])
        return RowLinear(torch.stack([weights[i] for i in ids]), torch.stack([biases[i] for i in ids]))


def _rows(x: Float[Tensor, "b *x"], order: Int[Tensor, "b"]) -> Float[Tensor, "b *x"]:
    """Put rows in another order, which lies on the CPU, without waiting for the device."""
    return x.index_select(0, order.to(x.device, non_blocking=True))


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

    def forward(self, x: Float[Tensor, "b n x"], time: Float[Tensor, "b *n d"]) -> Float[Tensor, "b n d"]:
        """Join the sinusoid of the time (first), one for all actions or one for each, with the action."""
        e = self.linear_1(x.to(self.linear_1.weight.dtype))
        of_each = time[:, None].expand(-1, e.shape[1], -1) if time.dim() == 2 else time
        e = torch.cat([of_each.to(e.dtype), e], dim=-1)
        return self.linear_3(F.silu(self.linear_2(e)))


def state_encoder(dims: Sequence[int], width: int) -> PerEmbodiment:
    """One Linear per embodiment."""
    return PerEmbodiment(dims, lambda dim: Unpadded(dim, nn.Linear(dim, width)), [width])


def action_encoder(dims: Sequence[int], width: int) -> PerEmbodiment:
    """One action MLP per embodiment."""
    return PerEmbodiment(dims, lambda dim: Unpadded(dim, ActionEncoder(dim, width)), [width])


def action_decoder(dims: Sequence[int], width: int) -> PerEmbodiment:
    """One Linear per embodiment; dimensions that an embodiment lacks come out as zero."""
    return PerEmbodiment(dims, lambda dim: nn.Linear(width, dim), dims)
