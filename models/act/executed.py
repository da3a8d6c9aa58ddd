"""Training-time real-time chunking: a policy that learns to continue a chunk, and needs no guidance to do so.

While a chunk is computed the robot executes the first d steps of the one before. In training the first d actions of a
row are shown without noise, each with a flow time of its own, 1, and the loss is on the others; d is drawn from 0 to
the longest delay (arXiv:2512.05964). In sampling, steps that the robot will have executed are held where they are.

The plan is sampled as ever: the latent expert does not see actions, and its flow time follows that of the free ones.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.act.config import ActConfig
from models.parts import Random, uniform

CLEAN = 1.0
"""Flow time of actions without noise."""


class Held(NamedTuple):
    """Actions that will have been executed when the chunk arrives."""

    action: Float[Tensor, "b h a"]
    """Normalised; of no account where `mask` is false."""
    mask: Bool[Tensor, "b h"]

    def put(self, x: Float[Tensor, "b h a"]) -> Float[Tensor, "b h a"]:
        """Lay them over a chunk."""
        return torch.where(self.mask[..., None], self.action, x)

    def still(self, velocity: Float[Tensor, "b h a"]) -> Float[Tensor, "b h a"]:
        """Let them have no velocity, so that they stay to the last bit."""
        return velocity.masked_fill(self.mask[..., None], 0.0)


def draw_mask(config: ActConfig, rows: int, device: torch.device, random: Random) -> Bool[Tensor, "b h"] | None:
    """Draw which steps of each row a robot has executed; nothing is drawn by a policy that does not train so."""
    if not config.max_inference_delay:
        return None
    delay = (uniform((rows,), device, random) * (config.max_inference_delay + 1)).int()
    return torch.arange(config.horizon, device=device) < delay[:, None]
