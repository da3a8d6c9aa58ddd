"""The actor under real-time chunking: its next chunk continues the one that the robot is executing."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models import flow, guidance
from models.act import plan
from models.act.act import Act
from models.act.caches import LatentCache
from models.act.executed import Held
from models.batch import Observation


class Executing(NamedTuple):
    """The chunks that robots are executing, from now on."""

    action: Float[Tensor, "b h a"]
    """Normalised; steps beyond the chunk's end are of no account."""
    length: Int[Tensor, "b"]
    """Steps that there are."""
    delay: Int[Tensor, "b"]
    """Steps of these that will have been executed when the next chunk arrives."""

    def held(self) -> Held:
        """Give these steps as a policy holds them that was trained to."""
        step = torch.arange(self.action.shape[1], device=self.action.device)
        return Held(self.action, step < self.delay[:, None])


def sample_continuing(
    model: Act,
    observation: Observation,
    executing: Executing,
    generator: torch.Generator | None = None,
    noise: flow.Noise = "zero",
    num_steps: int | None = None,
    beta: float = guidance.BETA,
) -> tuple[Float[Tensor, "b n k d"], Float[Tensor, "b h a"]]:
    """Sample as `Act.sample` does, guided so that the chunk begins as robots go on to do.

    The error goes back through both streams: the plan gives way, too. Each keeps its own flow time, of which training
    has seen the pair; the error counts by the robot's.
    """
    c, b, device = model.config, observation.state.shape[0], observation.state.device
    steps = num_steps or c.num_euler_steps
    action = flow.initial_noise((b, c.horizon, max(c.action_dims)), noise, device, generator)
    tokens = c.num_latent_tokens if c.denoises_plan else 0
    latent = flow.initial_noise((b, tokens, c.latent_dim), noise, device, generator)
    weight = guidance.weights(c.horizon, executing.delay, executing.length)
    with torch.no_grad():
        prefix = model.encode_prefix(observation)
        has_wrist = observation.has_wrist if c.wrist else torch.zeros_like(observation.has_wrist)
        context = model.robot.context(observation, has_wrist.to(device, non_blocking=True))
    every = torch.ones(latent.shape[:2], dtype=torch.bool, device=device)
    valid = torch.ones(action.shape[:2], dtype=torch.bool, device=device)
    t_latent, t_robot = flow.time_grid(steps, device, c.flow)
    for i in range(steps):
        latent, action = latent.detach().requires_grad_(), action.detach().requires_grad_()
        with torch.enable_grad():
            latent_velocity, cache, read = torch.zeros_like(latent), None, prefix
            if model.latent is not None:
                latent_velocity, kv_cache = model.latent(latent, t_latent[i].expand(b), prefix, every)
                cache, read = plan.read_in_sampling(c, prefix, LatentCache(kv_cache, every))
            velocity = model.robot(action, t_robot[i].expand(b), read, context, cache, valid, observation.embodiment_id)
            t = i / steps
            clean = action + (1.0 - t) * velocity
            back = guidance.corrections(clean, (action, latent), executing.action, weight, t, beta)
        step = 1.0 / steps
        latent_step = step if c.reference_latent_step else t_latent[i + 1] - t_latent[i]
        latent = latent + (latent_velocity + back[1]) * latent_step
        action = action + (velocity + back[0]) * step
    planned = latent.detach().unflatten(1, (-1, c.codes_per_latent)) * c.latent_scale
    return planned, action.detach().clamp(-1.0, 1.0)
