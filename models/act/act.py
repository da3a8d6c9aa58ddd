"""The actor of villa-X: a vision-language model, a latent expert that plans and a robot expert that gives actions.

p(latents, actions | image, text, robot) = p(latents | image, text) p(actions | latents, image, text, robot): the
streams attend jointly with a block-causal mask, so latent actions do not depend on the robot and are also learnt from
human video. Image and text are the prefix: their KV cache is computed once for all flow samples and Euler steps.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models import flow
from models.act import codes, executed, masks, plan
from models.act.caches import LatentCache, PrefixCache
from models.act.codes import CodePlanner
from models.act.config import HEADS, LORA_PREFIXES, ActConfig
from models.act.experts import LatentExpert, RobotExpert
from models.act.sampler import Sampler
from models.batch import ActBatch, Observation
from models.layers.stack import GemmaBlock
from models.lora import add_adapters, merge_adapters
from models.lora_config import LoraConfig
from models.parts import Counts, Random, mean_of, normal, uniform
from models.vlm.vlm import Vlm


class Act(nn.Module):
    """Vision-language-action model with a latent and a robot expert; `config.use_latent=False` drops the latent one."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.config = config
        self.vlm = Vlm(config.vlm)
        self.latent = LatentExpert(config) if config.denoises_plan else None
        self.planner = CodePlanner(config) if config.use_latent and not config.denoises_plan else None
        self._pretrains = False
        self.robot = RobotExpert(config)
        if config.lora is not None:
            self._adapt(config.lora)
        self._freeze()

    def _adapt(self, config: LoraConfig) -> None:
        """Train adapters and what is each embodiment's own, nothing else."""
        trained = (*HEADS, "robot.context.")
        for name, p in self.named_parameters():
            p.requires_grad_(name.startswith(trained))
        add_adapters(self, tuple(LORA_PREFIXES[target] for target in config.targets), config)

    def merged(self) -> "Act":
        """Give the policy without adapters that does the same; itself, where it has none."""
        if self.config.lora is None:
            return self
        plain = deepcopy(self)
        merge_adapters(plain)
        plain.config = self.config.model_copy(update={"lora": None})
        return plain

    def _freeze(self) -> None:
        """Leave out of training what the settings say."""
        c, last = self.config, self.vlm.stack.blocks[-1]
        frozen: list[tuple[bool, nn.Module]] = [
            (c.freeze_token_embeddings, self.vlm.embed),
            (c.freeze_vision, self.vlm.vision),
            (c.freeze_last_values, cast(GemmaBlock, last).v_proj),
            (c.freeze_vlm, self.vlm),
        ]
        for is_frozen, part in frozen:
            if is_frozen:
                part.requires_grad_(False)

    def begin_step(self, step: int, num_steps: int) -> None:
        """Take the training loop's step: what is pretrained by codes learns actions only after a share of the run."""
        self._pretrains = self.config.planner == "pretraining" and step < self.config.pretraining_fraction * num_steps

    def encode_prefix(self, observation: Observation) -> PrefixCache:
        """Compute the KV cache of image and instruction, and of the plan where that is made of codes and read."""
        prefix = self._encode(observation)
        reads = self.planner is not None and self.config.planner == "autoregressive" and self.config.latent_dropout < 1
        return cast(CodePlanner, self.planner).extend(prefix) if reads else prefix

    def _encode(self, observation: Observation) -> PrefixCache:
        kv_cache = self.vlm(observation.image, observation.token_ids, observation.token_mask)
        return PrefixCache(kv_cache, self.vlm.prefix_mask(observation.token_mask))

    def loss(
        self, batch: ActBatch, random: Random = None, counts: Counts | None = None
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Flow matching loss of both streams; a row without actions (human video) counts in the latent term only.

        `counts` are those of all parts, where the batch is one of several.
        """
        c, repeats, device = self.config, self.config.num_flow_samples, batch.state.device
        held = executed.draw_mask(c, repeats * len(batch.state), device, random)
        prefix = self._encode(batch).repeat(repeats)
        has_wrist = self._drop_wrist(batch.has_wrist, random, device)
        context = self.robot.context(batch, has_wrist, has_views=self._drop_views(batch, random)).repeat(repeats)
        t_latent, t_robot = flow.sample_times(prefix.prefix_mask.shape[0], device, random, c.flow)
        terms: dict[str, Tensor] = {}
        latent, read = None, prefix  # what the robot expert reads
        if self.planner is not None:
            if batch.codes is None:
                raise ValueError("planner plans codes, and the batch has none")
            valid = batch.latent_mask.repeat_interleave(c.codes_per_latent, 1).repeat_interleave(repeats, 0)
            plan_codes = batch.codes.flatten(1, 2).repeat_interleave(repeats, 0)
            terms["codes"], kv_cache = self.planner.loss(plan_codes, prefix, valid, counts)
            if c.planner == "autoregressive":
                read = codes.drawn(c, prefix, kv_cache, valid, random)
        if self.latent is not None:
            valid = batch.latent_mask.repeat_interleave(c.codes_per_latent, 1).repeat_interleave(repeats, 0)  # (b, z)
            data = batch.latent.flatten(1, 2).repeat_interleave(repeats, 0) / c.latent_scale
            data = data.where(valid[..., None], 0.0)
            noise = normal(data.shape, device, random)
            out, kv_cache = self.latent(flow.interpolate(data, noise, t_latent, c.flow), t_latent, prefix, valid)
            terms["latent"] = masked_mse(out, flow.velocity(data, noise, c.flow), valid[..., None], counts, "latent")
            shape = (valid.shape[0], valid.shape[1])
            unit = c.codes_per_latent if c.latent_mask_unit == "latent" else 1
            visible = masks.draw_visible_mask(shape, c.latent_dropout, c.latent_keep_ratio, device, random, unit)
            # Detached: the robot's loss does not train the latent expert, which is also learnt from human video.
            latent = LatentCache([kv.detach() for kv in kv_cache] if c.detach_latent else kv_cache, visible & valid)
            seen = flow.interpolate(data, noise, t_latent, c.flow)
            latent, read = plan.read_in_training(self.latent, c, prefix, latent, data, seen, t_latent, valid, random)
        mask = batch.action_mask.repeat_interleave(repeats, 0)
        data = batch.action.repeat_interleave(repeats, 0).where(mask, 0.0)
        noise = normal(data.shape, device, random)
        embodiment_id = batch.embodiment_id.repeat_interleave(repeats, 0)
        x, is_step = flow.interpolate(data, noise, t_robot, c.flow), mask.any(-1)
        if held is not None:
            x = executed.Held(data, held).put(x)
            t_robot, mask = t_robot[:, None].where(~held, executed.CLEAN), mask & ~held[..., None]
        out = self.robot(x, t_robot, read, context, latent, is_step, embodiment_id)
        terms["robot"] = masked_mse(out, flow.velocity(data, noise, c.flow), mask, counts, "robot")
        return self._weigh(terms), {name: term.detach() for name, term in terms.items()}

    def _weigh(self, terms: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Add up the terms of the loss."""
        total = self.config.robot_weight * terms["robot"]
        if "codes" in terms:
            total = self._with_codes(total, self.config.latent_weight * terms["codes"])
        if "latent" in terms:
            total = total + self.config.latent_weight * terms["latent"]
        return total

    def figures(self, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Make of the means over some rows what `loss` says of a batch; means that are over nothing are left out."""
        none = torch.zeros_like(next(iter(means.values())))
        return {"loss": self._weigh({"robot": none, **means}), **means}

    def _with_codes(self, robot: Float[Tensor, ""], codes: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Add the codes' loss; of a policy that is pretrained by codes each has its part of the run, with its graph."""
        if self.config.planner == "autoregressive":
            return robot + codes
        return codes + 0.0 * robot if self._pretrains else robot + 0.0 * codes

    def counts(self, batch: ActBatch, random: Random = None) -> dict[str, Tensor]:
        """Count the numbers that each term of `loss` is a mean over."""
        c, repeats = self.config, self.config.num_flow_samples
        mask = batch.action_mask.repeat_interleave(repeats, 0)
        held = executed.draw_mask(c, len(mask), mask.device, random)
        sums = {"robot": (mask if held is None else mask & ~held[..., None]).sum()}
        if self.latent is not None:
            sums["latent"] = batch.latent_mask.sum() * c.codes_per_latent * c.latent_dim * repeats
        if self.planner is not None:
            sums["codes"] = batch.latent_mask.sum() * c.codes_per_latent * repeats
        return sums

    def _drop_wrist(self, has_wrist: Bool[Tensor, "b"], random: Random, device: torch.device) -> Bool[Tensor, "b"]:
        """Drop wrist views at random in training, so that the policy works without them."""
        if self.config.wrist is None:
            return torch.zeros_like(has_wrist, device=device)
        coin = uniform(has_wrist.shape, device, random)
        return has_wrist.to(device, non_blocking=True) & (coin >= self.config.wrist.view_dropout)

    def _drop_views(self, batch: ActBatch, random: Random) -> Bool[Tensor, "b v"] | None:
        """Drop views of further cameras as those of the wrist, each by itself."""
        if batch.has_views is None or self.config.wrist is None:
            return None
        coins = uniform(batch.has_views.shape, batch.state.device, random)
        return batch.has_views.to(coins.device, non_blocking=True) & (coins >= self.config.wrist.view_dropout)

    def sample(
        self,
        observation: Observation,
        generator: torch.Generator | None = None,
        noise: flow.Noise = "zero",
        num_steps: int | None = None,
    ) -> tuple[Float[Tensor, "b n k d"], Float[Tensor, "b h a"]]:
        """Sample latent actions (empty without the latent expert) and a chunk of normalised actions, -1 to 1.

        Who samples more than once with the same weights makes one `Sampler`, which prepares them once.
        """
        return Sampler(self.merged()).sample(observation, generator, noise, num_steps)

    def plan(
        self,
        observation: Observation,
        generator: torch.Generator | None = None,
        noise: flow.Noise = "zero",
        num_steps: int | None = None,
    ) -> Float[Tensor, "b n k d"]:
        """Sample latent actions only, which do not depend on embodiment and state."""
        return Sampler(self.merged()).plan(observation, generator, noise, num_steps)

    def denoise(
        self,
        observation: Observation,
        latent: Float[Tensor, "b z d"],
        action: Float[Tensor, "b h a"] | None,
        num_steps: int | None = None,
    ) -> tuple[Float[Tensor, "b z d"], Float[Tensor, "b h a"]]:
        """Integrate both streams from given noise with Euler steps, over one prefix cache.

        Dimensions that an embodiment lacks have velocity zero and keep their noise.
        """
        return Sampler(self.merged()).denoise(observation, latent, action, num_steps)


def masked_mse(
    out: Float[Tensor, "b n x"],
    target: Float[Tensor, "b n x"],
    mask: Bool[Tensor, "b n #x"],
    counts: Counts | None = None,
    name: str = "",
) -> Float[Tensor, ""]:
    """Average the squared error where the mask is true; 0, with its graph, where it is nowhere true."""
    mask = mask.expand_as(target)
    error = (out.float() - target).square().where(mask, 0.0)
    return mean_of(error, mask, counts, name)
