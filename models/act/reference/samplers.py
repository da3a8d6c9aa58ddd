"""The three ways from noise to actions that a reference holds."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from models import flow
from models.act.act import Act
from models.act.caches import LatentCache
from models.act.reference.folder import Reference


@dataclass(frozen=True)
class Sampled:
    """The end of an integration and the velocities on its way."""

    latent: Tensor
    action: Tensor
    latent_velocities: Tensor
    """(steps, b, z, d)"""
    robot_velocities: Tensor
    """(steps, b, h, a)"""


@torch.no_grad()
def euler(act: Act, reference: Reference, *, slip: bool) -> Sampled:
    """Integrate as the authors' loop does: both streams by the robot's step.

    Their loop multiplies the context tokens, which all steps share, in place: with `slip` they enter step k scaled by
    sqrt(width)^(k + 1) instead of sqrt(width).
    """
    assert act.latent is not None
    seen, x = reference.observation(), reference.inputs
    latent, action = x["sample_latent_noise"], x["sample_robot_noise"]
    prefix, context = act.encode_prefix(seen), act.robot.context(seen, seen.has_wrist)
    b, num_steps = action.shape[0], act.config.num_euler_steps
    visible, valid = (torch.ones(s.shape[:2], dtype=torch.bool) for s in (latent, action))
    t_latent, t_robot = flow.time_grid(num_steps, latent.device, act.config.flow)
    velocities: list[tuple[Tensor, Tensor]] = []
    for i in range(num_steps):
        v_latent, kv_cache = act.latent(latent, t_latent[i].expand(b), prefix, visible)
        scale = act.config.expert.embed_scale**i if slip else 1.0
        v_robot = act.robot(
            action,
            t_robot[i].expand(b),
            prefix,
            context._replace(tokens=context.tokens * scale),
            LatentCache(kv_cache, visible),
            valid,
            seen.embodiment_id,
        )
        latent, action = latent + v_latent / num_steps, action + v_robot / num_steps
        velocities.append((v_latent, v_robot))
    v_latents, v_robots = zip(*velocities, strict=True)
    return Sampled(latent, action, torch.stack(v_latents), torch.stack(v_robots))


@torch.no_grad()
def outputs(reference: Reference) -> Iterator[tuple[str, Tensor]]:
    """Give what each sampler ends with, by the actor's own `denoise` wherever it has that sampler."""
    x, seen = reference.inputs, reference.observation()
    by_robot_step = reference.model(reference_latent_step=True)
    for kind, slip in (("sample_reference", True), ("sample_clean", False)):
        trace = euler(by_robot_step, reference, slip=slip)
        yield f"{kind}/latent_velocity_steps", trace.latent_velocities
        yield f"{kind}/robot_velocity_steps", trace.robot_velocities
        latent, action = trace.latent, trace.action
        if not slip:
            latent, action = by_robot_step.denoise(seen, x["sample_latent_noise"], x["sample_robot_noise"])
        yield f"{kind}/latents", latent
        yield f"{kind}/robot_unclipped", action
        yield f"{kind}/robot", action.clamp(-1.0, 1.0)
    own = reference.model(reference_latent_step=False)
    latent, action = own.denoise(seen, x["sample_latent_noise"], x["sample_robot_noise"])
    yield "sample_own_step/latents", latent
    yield "sample_own_step/robot_unclipped", action
    t_latent, t_robot = flow.time_grid(own.config.num_euler_steps, torch.device("cpu"), own.config.flow)
    yield "sample_own_step/t_latent_nodes", t_latent
    yield "sample/t_latent_steps", t_latent[:-1]
    yield "sample/t_robot_steps", t_robot[:-1]
