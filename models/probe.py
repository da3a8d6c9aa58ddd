"""Predicts robot actions from frozen latent actions: the error of a small network measures what they contain.

Shape letters: b pairs of frames, i numbers read, o numbers predicted.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn


class Probe(nn.Module):
    """Three linear layers (villa-X, section 4.1), over inputs and targets scaled by what it is fitted on."""

    mean: Tensor
    std: Tensor
    offset: Tensor

    def __init__(self, in_dim: int, out_dim: int, hidden: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(in_dim, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, out_dim))
        )
        self.register_buffer("mean", torch.zeros(in_dim))
        self.register_buffer("std", torch.ones(in_dim))
        self.register_buffer("offset", torch.zeros(out_dim))

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """Predict the actions between two frames."""
        return self.offset + self.layers((x - self.mean) / self.std)


def fit_probe(
    x: Float[Tensor, "b i"],
    y: Float[Tensor, "b o"],
    generator: Generator,
    *,
    hidden: int = 256,
    epochs: int = 25,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
) -> Probe:
    """Fit a probe by its mean absolute error; it starts at the median, so knowing nothing costs nothing.

    The same generator state gives the same probe.
    """
    probe = Probe(x.shape[1], y.shape[1], hidden)
    _start(probe, generator)
    probe.mean.copy_(x.mean(dim=0))
    std = x.std(dim=0, correction=0)
    probe.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))
    probe.offset.copy_(y.median(dim=0).values)
    num_batches = math.ceil(len(x) / batch_size)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(epochs * num_batches, 1))
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(batch_size):
            optimizer.zero_grad()
            F.l1_loss(probe(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
    return probe.eval()


def _start(probe: Probe, generator: Generator) -> None:
    """Draw weights as torch does by default, but from our generator; the last layer starts at zero."""
    linears = [layer for layer in probe.layers if isinstance(layer, nn.Linear)]
    for layer in linears:
        bound = 1 / math.sqrt(layer.in_features)
        nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    nn.init.zeros_(linears[-1].weight)
    nn.init.zeros_(linears[-1].bias)
