"""The actor: a vision-language model, a latent expert that plans, and a robot expert that moves (villa-X).

p(latents, actions | picture, text, body) = p(latents | picture, text) p(actions | latents, picture, text, body): the
streams attend jointly but block-causally, so the plan never sees the body and can be learnt from human video.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from models import flow
from models.act import masks
from models.act.config import ActConfig
from models.act.context import Context, ContextEncoder
from models.act.embodiment import ActionMlp, action_decoder, action_encoder
from models.batch import ActBatch, Observation
from models.layers.attention import KeyValue
from models.layers.norm import GemmaRMSNorm
from models.layers.sinusoid import time_sinusoid
from models.layers.stack import Stack, positions_from
from models.parts import Counts, Random, mean_of, normal, uniform
from models.vlm.vlm import Vlm


class Scene(NamedTuple):
    """A picture and its instruction, read once: what the language model wrote, block by block."""

    memory: list[KeyValue]
    readable: Bool[Tensor, "b v"]

    def repeat(self, times: int) -> "Scene":
        """Repeat every batch row `times` times in a row."""
        return Scene([m.repeat(times) for m in self.memory], self.readable.repeat_interleave(times, 0))


class Plan(NamedTuple):
    """What the latent expert wrote, and which of its tokens the robot expert may read."""

    memory: list[KeyValue]
    shown: Bool[Tensor, "b z"]


class LatentExpert(nn.Module):
    """Denoises latent actions, seeing the scene only."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.width = config.expert.width
        self.encoder = ActionMlp(config.latent_dim, self.width)
        self.stack = Stack(config.expert)
        self.norm = GemmaRMSNorm(self.width, config.expert.eps)
        self.decoder = nn.Linear(self.width, config.latent_dim)

    def forward(
        self, x: Float[Tensor, "b z d"], t: Float[Tensor, "b"], scene: Scene, counts: Bool[Tensor, "b z"]
    ) -> tuple[Float[Tensor, "b z d"], list[KeyValue]]:
        """Give the latents' velocity at time t, and what the robot expert may read."""
        tokens = self.encoder(x, time_sinusoid(t, self.width)) * self.stack.config.entry
        positions = positions_from(1, x.shape[1], x.device)
        mask = masks.latent_rows(scene.readable, counts)
        out, memory = self.stack(tokens, positions, [scene.memory], mask)
        return self.decoder(self.norm(out)), memory


class RobotExpert(nn.Module):
    """Denoises robot actions, seeing the scene, the plan and its own body. Context tokens share its weights."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.width = config.expert.width
        self.context = ContextEncoder(config)
        self.encoder = action_encoder(config.action_dims, self.width)
        self.stack = Stack(config.expert)
        self.norm = GemmaRMSNorm(self.width, config.expert.eps)
        self.decoder = action_decoder(config.action_dims, self.width)

    def forward(
        self,
        x: Float[Tensor, "b h a"],
        t: Float[Tensor, "b"],
        scene: Scene,
        context: Context,
        plan: Plan | None,
        counts: Bool[Tensor, "b h"],
        embodiment_id: Int[Tensor, "b"],
    ) -> Float[Tensor, "b h a"]:
        """Give the actions' velocity at time t."""
        tokens = self.encoder(x, embodiment_id, time_sinusoid(t, self.width))
        tokens = torch.cat([context.tokens.to(tokens.dtype), tokens], dim=1) * self.stack.config.entry
        shown = scene.readable[:, :0] if plan is None else plan.shown
        mask = masks.robot_rows(scene.readable, shown, context.exists, counts)
        read = [scene.memory] if plan is None else [scene.memory, plan.memory]
        positions = positions_from(1, tokens.shape[1], x.device)
        out, _ = self.stack(tokens, positions, read, mask, num_out=x.shape[1])
        return self.decoder(self.norm(out), embodiment_id)


class Act(nn.Module):
    """Looks, plans in latent actions, moves. `config.use_latent=False` leaves the plan out."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.config = config
        self.vlm = Vlm(config.vlm)
        self.latent = LatentExpert(config) if config.use_latent else None
        self.robot = RobotExpert(config)
        self.vlm.embed.weight.requires_grad_(not config.freeze_words)

    def begin_step(self, step: int, num_steps: int) -> None:
        """Accept the training loop's clock; nothing here follows a schedule."""

    def look(self, seen: Observation) -> Scene:
        """Read picture and instruction."""
        memory = self.vlm(seen.image, seen.token_ids, seen.token_mask)
        return Scene(memory, self.vlm.visible(seen.token_mask))

    def loss(
        self, batch: ActBatch, random: Random = None, counts: Counts | None = None
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Flow matching of both streams; a sample without actions (human video) counts in the latent term only.

        `counts` are those of all parts, where the batch is one of several.
        """
        c, draws, device = self.config, self.config.flow_draws, batch.state.device
        scene = self.look(batch).repeat(draws)
        context = self.robot.context(batch, self._keep_wrist(batch.has_wrist, random)).repeat(draws)
        t_latent, t_robot = flow.draw_times(scene.readable.shape[0], device, random)
        terms: dict[str, Tensor] = {}
        plan = None
        if self.latent is not None:
            real = batch.latent_mask.repeat_interleave(c.codes_per_latent, 1).repeat_interleave(draws, 0)  # (b, z)
            data = batch.latent.flatten(1, 2).repeat_interleave(draws, 0) / c.latent_scale
            data = data.where(real[..., None], 0.0)
            noise = normal(data.shape, device, random)
            out, memory = self.latent(flow.interpolate(data, noise, t_latent), t_latent, scene, real)
            terms["latent"] = masked_mse(out, flow.velocity(data, noise), real[..., None], counts, "latent")
            shown = masks.draw_shown((real.shape[0], real.shape[1]), c.latent_hidden, c.latent_shown, device, random)
            # Detached: the robot's loss must not bend the plan, which human video teaches too.
            plan = Plan([m.detach() for m in memory], shown & real)
        mask = batch.action_mask.repeat_interleave(draws, 0)
        data = batch.action.repeat_interleave(draws, 0).where(mask, 0.0)
        noise = normal(data.shape, device, random)
        body = batch.embodiment_id.repeat_interleave(draws, 0)
        x = flow.interpolate(data, noise, t_robot)
        out = self.robot(x, t_robot, scene, context, plan, mask.any(-1), body)
        terms["robot"] = masked_mse(out, flow.velocity(data, noise), mask, counts, "robot")
        total = terms["robot"]
        if "latent" in terms:
            total = total + c.latent_weight * terms["latent"]
        return total, {name: term.detach() for name, term in terms.items()}

    def counts(self, batch: ActBatch, random: Random = None) -> dict[str, Tensor]:
        """Count the numbers that each term of `loss` is a mean over."""
        each = self.config.codes_per_latent * self.config.latent_dim
        found = {"robot": batch.action_mask.sum()}
        if self.latent is not None:
            found["latent"] = batch.latent_mask.sum() * each
        return {name: count * self.config.flow_draws for name, count in found.items()}

    def _keep_wrist(self, has_wrist: Bool[Tensor, "b"], random: Random) -> Bool[Tensor, "b"]:
        """Drop wrist views at random in training, so that the policy can do without."""
        if self.config.wrist is None:
            return torch.zeros_like(has_wrist)
        coin = uniform(has_wrist.shape, has_wrist.device, random)
        return has_wrist & (coin >= self.config.wrist.drop)

    @torch.no_grad()
    def sample(
        self,
        seen: Observation,
        generator: torch.Generator | None = None,
        noise: flow.Noise = "zero",
        num_steps: int | None = None,
    ) -> tuple[Float[Tensor, "b n k d"], Float[Tensor, "b h a"]]:
        """Plan and act: latent actions (empty without the latent expert) and a chunk of normalised actions, -1 to 1."""
        c, b, device = self.config, seen.state.shape[0], seen.state.device
        action = flow.start((b, c.horizon, max(c.action_dims)), noise, device, generator)
        latent, action = self.denoise(seen, self._latent_start(b, noise, device, generator), action, num_steps)
        return self._unflatten(latent), action.clamp(-1.0, 1.0)

    @torch.no_grad()
    def plan(
        self,
        seen: Observation,
        generator: torch.Generator | None = None,
        noise: flow.Noise = "zero",
        num_steps: int | None = None,
    ) -> Float[Tensor, "b n k d"]:
        """Plan only: needs neither a body nor its state."""
        latent = self._latent_start(seen.image.shape[0], noise, seen.image.device, generator)
        return self._unflatten(self.denoise(seen, latent, None, num_steps)[0])

    def denoise(
        self,
        seen: Observation,
        latent: Float[Tensor, "b z d"],
        action: Float[Tensor, "b h a"] | None,
        num_steps: int | None = None,
    ) -> tuple[Float[Tensor, "b z d"], Float[Tensor, "b h a"]]:
        """Integrate both streams from given starting points with Euler steps; the scene is read once.

        Dimensions that a body lacks have velocity zero and keep their starting point.
        """
        num_steps = num_steps or self.config.num_euler_steps
        scene, b = self.look(seen), latent.shape[0]
        everything = torch.ones(latent.shape[:2], dtype=torch.bool, device=latent.device)
        context = None
        if action is not None:
            has_wrist = seen.has_wrist if self.config.wrist else torch.zeros_like(seen.has_wrist)
            context = self.robot.context(seen, has_wrist)
        t_latent, t_robot = flow.clocks(num_steps, latent.device)
        for i in range(num_steps):
            plan, step = None, 1.0 / num_steps
            if self.latent is not None:
                v, memory = self.latent(latent, t_latent[i].expand(b), scene, everything)
                latent = latent + v * (step if self.config.reference_latent_step else t_latent[i + 1] - t_latent[i])
                plan = Plan(memory, everything)
            if action is not None and context is not None:
                steps = torch.ones(action.shape[:2], dtype=torch.bool, device=action.device)
                v = self.robot(action, t_robot[i].expand(b), scene, context, plan, steps, seen.embodiment_id)
                action = action + v * step
        return latent, latent.new_zeros(b, 0, 0) if action is None else action

    def _latent_start(
        self, b: int, noise: flow.Noise, device: torch.device, generator: torch.Generator | None
    ) -> Float[Tensor, "b z d"]:
        tokens = self.config.num_latent_tokens if self.config.use_latent else 0
        return flow.start((b, tokens, self.config.latent_dim), noise, device, generator)

    def _unflatten(self, latent: Float[Tensor, "b z d"]) -> Float[Tensor, "b n k d"]:
        return latent.unflatten(1, (-1, self.config.codes_per_latent)) * self.config.latent_scale


def masked_mse(
    out: Float[Tensor, "b n x"],
    target: Float[Tensor, "b n x"],
    mask: Bool[Tensor, "b n #x"],
    counts: Counts | None = None,
    name: str = "",
) -> Float[Tensor, ""]:
    """Average the squared error where the mask is true; nothing to average gives 0, with its graph."""
    mask = mask.expand_as(target)
    wrong = (out.float() - target).square().where(mask, 0.0)
    return mean_of(wrong.sum(), mask.sum(), counts, name)
