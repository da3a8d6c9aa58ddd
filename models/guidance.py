"""Guides a flow so that part of what it samples agrees with what is given (real-time chunking).

A robot executes a chunk while the next one is computed. The next chunk is sampled so that its first steps agree with
those that will have been executed by then: the step's estimate of the clean chunk, x1 = x + (1 - t) v, is compared with
what is given, and the error goes back through the network to the noisy chunk (Black, Galliker, Levine 2025,
arXiv:2506.07339; pseudoinverse guidance, with the Jacobian of x1 and not the identity in its place):

    v' = v + min(beta, (t^2 + (1 - t)^2) / (t (1 - t))) * (d x1 / d x)^T [W (Y - x1)]
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

BETA = 5.0
"""Most that the error counts, as in the paper: larger values make the steps that are free noisier."""


def weights(horizon: int, delay: Int[Tensor, "b"], length: Int[Tensor, "b"]) -> Float[Tensor, "b h"]:
    """Weigh each step of the next chunk: 1 if it will have been executed, less and less up to `length`, then 0.

    `delay` steps pass before the next chunk arrives, `length` steps are left of the one that is executed.
    """
    step = torch.arange(horizon, device=delay.device)[None]
    left = (length[:, None] - step) / (length - delay + 1)[:, None].clamp(min=1)
    decaying = left * torch.expm1(left) / torch.expm1(left.new_tensor(1.0))
    return torch.where(step < delay[:, None], 1.0, decaying.clamp(min=0.0).where(step < length[:, None], 0.0))


def strength(t: float, beta: float = BETA) -> float:
    """Say how much the error counts at flow time t (0 noise, 1 data)."""
    between = t * (1.0 - t)
    return min(beta, (t * t + (1.0 - t) ** 2) / between) if between > 0.0 else beta


def corrections(
    x1: Float[Tensor, "b h a"],
    inputs: Sequence[Tensor],
    given: Float[Tensor, "b h a"],
    weight: Float[Tensor, "b h"],
    t: float,
    beta: float = BETA,
) -> list[Tensor]:
    """Give what is added to the velocity of each input of the network that made the estimate `x1`."""
    error = (weight[..., None] * (given - x1)).detach()
    gradients = torch.autograd.grad(x1, list(inputs), error, allow_unused=True)
    return [
        torch.zeros_like(one) if back is None else back * strength(t, beta)
        for one, back in zip(inputs, gradients, strict=True)
    ]
