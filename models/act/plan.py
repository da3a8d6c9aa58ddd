"""Ways to make the robot expert read the plan; none of them is the paper's.

There the robot expert reads true latent actions, about as noisy as its own actions, in every batch beside a picture
that says as much: it can do without. Nothing here has a gradient, so the robot's loss never trains the latent expert.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.act.caches import LatentCache, PrefixCache
from models.act.config import ActConfig
from models.layers.attention import KeyValue
from models.parts import Random, normal, uniform

LatentExpert = Callable[..., tuple[Tensor, list[KeyValue]]]
"""Velocity and KV cache of latent actions (b, z, d) at flow times (b,), given the prefix and which of them count."""
OWN_STEPS = 4
"""Euler steps of a plan that is sampled in training."""


@torch.no_grad()
def read_in_training(
    expert: LatentExpert,
    config: ActConfig,
    prefix: PrefixCache,
    latent: LatentCache,
    data: Float[Tensor, "b z d"],
    x: Float[Tensor, "b z d"],
    t: Float[Tensor, "b"],
    valid_mask: Bool[Tensor, "b z"],
    random: Random,
) -> tuple[LatentCache, PrefixCache]:
    """Give plan and prefix as the robot expert reads them; as they came where the settings ask for nothing else.

    `x` are the latent actions at flow time `t`, `data` those without noise.
    """
    c, device = config, valid_mask.device
    if c.clean_plan:
        x, t = data, torch.full_like(t, c.flow.t_max)
    if c.own_plan_ratio > 0.0:
        own = denoised(expert, prefix, normal(x.shape, device, random), t, OWN_STEPS)
        x = torch.where((uniform(t.shape, device, random) < c.own_plan_ratio)[:, None, None], own, x)
    if c.clean_plan or c.own_plan_ratio > 0.0:
        latent = latent._replace(kv_cache=expert(x, t, prefix, valid_mask)[1])
    if c.prefix_dropout > 0.0:
        blind = (uniform(t.shape, device, random) < c.prefix_dropout)[:, None]
        latent = latent._replace(visible_mask=(latent.visible_mask | blind) & valid_mask)  # the blind read all of it
        prefix = prefix._replace(prefix_mask=prefix.prefix_mask & ~blind)
    return latent, prefix


def read_in_sampling(config: ActConfig, prefix: PrefixCache, latent: LatentCache) -> tuple[LatentCache, PrefixCache]:
    """Hide from the robot expert what training never showed it."""
    if config.latent_dropout >= 1.0 and not config.prefix_dropout:
        latent = latent._replace(visible_mask=torch.zeros_like(latent.visible_mask))
    if config.prefix_dropout >= 1.0:
        prefix = prefix._replace(prefix_mask=torch.zeros_like(prefix.prefix_mask))
    return latent, prefix


def denoised(
    expert: LatentExpert, prefix: PrefixCache, x: Float[Tensor, "b z d"], t_end: Float[Tensor, "b"], num_steps: int
) -> Float[Tensor, "b z d"]:
    """Denoise latent actions from flow time 0 to each row's own with Euler steps."""
    valid_mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    for i in range(num_steps):
        velocity, _ = expert(x, t_end * (i / num_steps), prefix, valid_mask)
        x = x + velocity * (t_end / num_steps)[:, None, None]
    return x
