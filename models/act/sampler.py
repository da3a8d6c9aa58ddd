"""Samples plans and actions, on a CPU or a GPU, eagerly, compiled, or as one CUDA graph."""

from collections import OrderedDict
from dataclasses import replace
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models import flow
from models.act.denoise import Asked, Policy, Weights, denoise
from models.act.executed import Held
from models.act.graphs import Graphs
from models.batch import Observation

M = TypeVar("M", bound=nn.Module)

MOST_ASKED = 16
"""Batches of embodiments whose layers are kept."""


class Sampler:
    """Predictions of one model without adapters, whose weights it copies: make another one when they have changed.

    With `graph` a GPU records the first prediction for each shape of a batch and replays it for the others; on a CPU it
    makes no difference. `compiled` fuses operators, which takes a minute at the first call. Calls may not overlap.
    """

    def __init__(self, act: Policy, compiled: bool = False, graph: bool = False) -> None:
        with torch.inference_mode():  # a tenth less time on a CPU than without gradients
            self.act, self.weights = act, Weights(act, compiled)
        self.graphs = Graphs() if graph else None
        self._asked: OrderedDict[tuple[int, ...], Asked] = OrderedDict()

    @torch.no_grad()
    def sample(
        self,
        observation: Observation,
        generator: torch.Generator | None = None,
        noise: flow.Noise = "zero",
        num_steps: int | None = None,
        held: Held | None = None,
    ) -> tuple[Float[Tensor, "b n k d"], Float[Tensor, "b h a"]]:
        """Sample latent actions (empty without the latent expert) and a chunk of normalised actions, -1 to 1.

        A policy that was trained with `max_inference_delay` goes on from actions that are `held`.
        """
        c, b, device = self.act.config, observation.state.shape[0], observation.state.device
        latent = self._initial_latent(observation, noise, generator)
        action = flow.initial_noise((b, c.horizon, max(c.action_dims)), noise, device, generator)
        latent, action = self.denoise(observation, latent, action, num_steps, held)
        return self._unflatten(latent), action.clamp(-1.0, 1.0)

    @torch.no_grad()
    def plan(
        self,
        observation: Observation,
        generator: torch.Generator | None = None,
        noise: flow.Noise = "zero",
        num_steps: int | None = None,
    ) -> Float[Tensor, "b n k d"]:
        """Sample latent actions only, which do not depend on embodiment and state."""
        latent = self._initial_latent(observation, noise, generator)
        return self._unflatten(self.denoise(observation, latent, None, num_steps)[0])

    def denoise(
        self,
        observation: Observation,
        latent: Float[Tensor, "b z d"],
        action: Float[Tensor, "b h a"] | None,
        num_steps: int | None = None,
        held: Held | None = None,
    ) -> tuple[Float[Tensor, "b z d"], Float[Tensor, "b h a"]]:
        """Integrate both streams from given noise with Euler steps; without actions the latent ones alone."""
        with torch.inference_mode():
            num_steps = num_steps or self.act.config.num_euler_steps
            streams = self._denoise(observation, latent, action, held, num_steps)
        return streams[0].clone(), streams[1].clone()  # of the plain kind, which may be changed in place

    def _denoise(
        self, observation: Observation, latent: Tensor, action: Tensor | None, held: Held | None, num_steps: int
    ) -> tuple[Tensor, Tensor]:
        asked = None if action is None else self._layers(tuple(observation.embodiment_id.tolist()))
        has_wrist = observation.has_wrist.to(latent.device, non_blocking=True)
        if self.act.config.wrist is None:
            has_wrist = torch.zeros_like(has_wrist)
        any_view = torch.full(has_wrist.shape, bool(observation.has_wrist.any()))
        # A graph depends on the values of tensors on the CPU: of those the experts ask only whether there is a view.
        views = observation.has_views
        observation = replace(
            observation,
            has_wrist=any_view,
            has_views=None if views is None else views.to(latent.device, non_blocking=True),
            embodiment_id=torch.zeros(has_wrist.shape, dtype=torch.int64),
        )

        def run(*inputs: Any) -> tuple[Tensor, Tensor]:
            return denoise(self.act, self.weights, *inputs, num_steps=num_steps)

        inputs = (asked, observation, has_wrist, latent, action, held)
        return self.graphs(run, inputs, num_steps) if self.graphs and latent.is_cuda else run(*inputs)

    def _layers(self, ids: tuple[int, ...]) -> Asked:
        """Gather the layers of a batch's embodiments, or take them from a call before."""
        if ids not in self._asked:
            self._asked[ids] = Asked.of(self.act, ids)
        self._asked.move_to_end(ids)
        if len(self._asked) > MOST_ASKED:
            self._asked.popitem(last=False)
        return self._asked[ids]

    def _initial_latent(
        self, observation: Observation, noise: flow.Noise, generator: torch.Generator | None
    ) -> Float[Tensor, "b z d"]:
        c = self.act.config
        shape = (observation.image.shape[0], c.num_latent_tokens if c.denoises_plan else 0, c.latent_dim)
        return flow.initial_noise(shape, noise, observation.image.device, generator)

    def _unflatten(self, latent: Float[Tensor, "b z d"]) -> Float[Tensor, "b n k d"]:
        return latent.unflatten(1, (-1, self.act.config.codes_per_latent)) * self.act.config.latent_scale


def cast(act: M, dtype: torch.dtype) -> M:
    """Change the precision of a model's weights in place, for inference: half the memory and traffic in bfloat16.

    Batch norms stay in float32, which their kernels expect; other norms compute in it.
    """
    kept = {p for module in act.modules() if isinstance(module, nn.BatchNorm2d) for p in module.parameters()}
    for p in act.parameters():
        if p not in kept:
            p.data = p.data.to(dtype)
    return act
