"""Conditional flow matching: noise at t = 0, data at t = 1.

x_t = (1 - (1 - s) t) noise + t data, velocity = data - (1 - s) noise, s = sigma_min (open-pi-zero's convention;
villa-X prints the same law with the sign turned). Where times are `coupled`, robot actions and latent actions have
separate flow times, from one uniform draw u:

    t_robot = 0.999 (1 - u^(2/3))     1 - t / 0.999 ~ Beta(1.5, 1): dense near noise
    t_latent = 0.999 (1 - u^(1/5))    1 - t / 0.999 ~ Beta(5, 1): noisier still, never past the robot's time

`shared` times give both streams the robot's, `uniform` ones give both 0.999 u.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from models.flow_config import FlowConfig
from models.parts import Random, uniform

VILLA_X = FlowConfig()
LATENT_POWER = 0.3
"""Beta(5, 1) quantile as a power of the Beta(1.5, 1) quantile: (u^(2/3))^0.3 = u^(1/5)."""

Noise = Literal["zero", "normal"]


def latent_time(t_robot: Float[Tensor, "*b"], law: FlowConfig = VILLA_X) -> Float[Tensor, "*b"]:
    """Flow time of the latent stream when the robot's is `t_robot`."""
    if law.times != "coupled":
        return t_robot
    return law.t_max * (1.0 - (1.0 - t_robot / law.t_max).clamp(min=0.0) ** LATENT_POWER)


def times_from(u: Float[Tensor, "*b"], law: FlowConfig = VILLA_X) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
    """Turn uniform draws into (t_latent, t_robot)."""
    t_robot = law.t_max * u if law.times == "uniform" else law.t_max * (1.0 - u ** (2.0 / 3.0))
    return (law.t_max * (1.0 - u ** (1.0 / 5.0)) if law.times == "coupled" else t_robot), t_robot


def sample_times(
    num: int, device: torch.device, random: Random, law: FlowConfig = VILLA_X
) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
    """Draw `num` pairs of (t_latent, t_robot)."""
    return times_from(uniform((num,), device, random), law)


def interpolate(
    data: Float[Tensor, "b *x"], noise: Float[Tensor, "b *x"], t: Float[Tensor, "b"], law: FlowConfig = VILLA_X
) -> Float[Tensor, "b *x"]:
    """Give the point at time t on the straight line from noise to data."""
    t = t.view(-1, *[1] * (data.dim() - 1))
    return (1.0 - (1.0 - law.sigma_min) * t) * noise + t * data


def velocity(
    data: Float[Tensor, "b *x"], noise: Float[Tensor, "b *x"], law: FlowConfig = VILLA_X
) -> Float[Tensor, "b *x"]:
    """Give the line's velocity, which is the network's target."""
    return data - (1.0 - law.sigma_min) * noise


def initial_noise(
    shape: tuple[int, ...], kind: Noise, device: torch.device, generator: torch.Generator | None
) -> Float[Tensor, "..."]:
    """Make the noise that sampling starts from; zero is its mean and makes sampling repeatable."""
    if kind == "zero":
        return torch.zeros(shape, device=device)
    return torch.randn(shape, device=device, generator=generator)


def time_grid(
    num_steps: int, device: torch.device, law: FlowConfig = VILLA_X
) -> tuple[Float[Tensor, "nodes"], Float[Tensor, "nodes"]]:
    """Give (t_latent, t_robot) at the ends of equal robot steps; the robot ends at 1, coupled latents at `t_max`."""
    t_robot = torch.arange(num_steps + 1, device=device, dtype=torch.float32) / num_steps
    return latent_time(t_robot, law), t_robot
