"""One forward of the actor on a reference's noisy inputs, with what every block left."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from models import flow
from models.act.act import Act, masked_mse
from models.act.caches import LatentCache
from models.act.masks import latent_attention_mask, robot_attention_mask
from models.act.reference.folder import Reference

RUNS = ("eval_all", "eval_none", "eval_half", "train_half")
"""Mode of the modules, and how much of the latents the robot expert may see."""


class Pass:
    """The training forward of one run. `tokens` holds what each block left, by `layer{i}/{stream}`."""

    def __init__(self, reference: Reference, run: str) -> None:
        x, act = reference.inputs, reference.model()
        assert act.latent is not None
        self.reference, self.run, self.act = reference, run, act.train(run.startswith("train"))
        self.visible = visible_in(reference, run.split("_")[1])
        self.tokens: dict[str, Tensor] = {}
        self._keep(act)
        seen = reference.observation()
        self.prefix = act.encode_prefix(seen)
        self.context = act.robot.context(seen, seen.has_wrist)
        everything = torch.ones_like(self.visible)
        self.latent_velocity, kv_cache = act.latent(x["x_t_latent"], x["t_latent"], self.prefix, everything)
        self.robot_velocity = act.robot(
            x["x_t_robot"],
            x["t_robot"],
            self.prefix,
            self.context,
            LatentCache([kv.detach() for kv in kv_cache], self.visible),
            everything.new_ones(x["x_t_robot"].shape[:2]),
            seen.embodiment_id,
        )

    def _keep(self, act: Act) -> None:
        """Keep the tokens that every block and both last norms leave."""

        def hook(name: str) -> Any:
            def keep(module: nn.Module, args: Any, out: Any) -> None:
                self.tokens[name] = out[0] if isinstance(out, tuple) else out  # a block gives its K/V, too

            return keep

        assert act.latent is not None
        stacks = {"vlm": act.vlm.stack, "latent": act.latent.stack, "robot": act.robot.stack}
        for name, stack in stacks.items():
            for i, block in enumerate(stack.blocks):
                block.register_forward_hook(hook(f"layer{i}/{name}"))
        act.latent.norm.register_forward_hook(hook("final/latent"))
        act.robot.norm.register_forward_hook(hook("final/robot"))
        if act.robot.context.wrist is not None:
            act.robot.context.wrist.register_forward_hook(hook("wrist_tokens"))
            act.robot.context.wrist.trunk.register_forward_hook(hook("wrist_trunk"))

    @cached_property
    def losses(self) -> tuple[Tensor, Tensor]:
        """The two terms, (latent, robot)."""
        x, law = self.reference.inputs, self.act.config.flow
        wanted = flow.velocity(x["latents"], x["latent_noise"], law)
        latent = masked_mse(self.latent_velocity, wanted, x["latent_loss_mask"].bool()[..., None])
        counts = x["robot_loss_mask"].bool()[..., None] & x["action_dim_mask"].bool()[:, None]
        return latent, masked_mse(self.robot_velocity, flow.velocity(x["actions"], x["robot_noise"], law), counts)

    @property
    def alive(self) -> Tensor:
        """Mark the rows that somebody reads, (b, v + z + c + h): no padded text, no wrist that is not there."""
        ones = torch.ones_like(self.visible)
        steps = ones.new_ones(self.robot_velocity.shape[:2])
        return torch.cat([self.prefix.prefix_mask, ones, self.context.valid_mask, steps], dim=1)

    def mask(self) -> Tensor:
        """Join the attention masks of all streams, (b, v + z + c + h, v + z + c + h)."""
        prefix, context, ones = self.prefix.prefix_mask, self.context.valid_mask, torch.ones_like(self.visible)
        steps = ones.new_ones(self.robot_velocity.shape[:2])
        latent = latent_attention_mask(prefix, ones)
        robot = robot_attention_mask(prefix, self.visible, context, steps)
        rows = [prefix[:, None].expand(-1, prefix.shape[1], -1), latent, robot]
        width = robot.shape[-1]
        return torch.cat([nn.functional.pad(part, (0, width - part.shape[-1])) for part in rows], dim=1)

    def outputs(self) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        """Give each output's name, our tensor, and which of its rows count (None: all)."""
        yield "latent_velocity", self.latent_velocity, None
        yield "robot_velocity", self.robot_velocity, None
        latent, robot = self.losses
        yield "loss_latent", latent.reshape(1), None
        yield "loss_robot", robot.reshape(1), None
        weight = self.reference.layout.loss
        yield "loss_total", (weight.latent_coef * latent + weight.robot_coef * robot).reshape(1), None
        yield "final/latent", self.tokens["final/latent"], None
        yield "final/robot", self.tokens["final/robot"], None
        yield from self._layers()
        if self.run.startswith("train") and self.act.robot.context.wrist is not None:
            norm = self.act.robot.context.wrist.trunk.bn1
            assert norm.running_mean is not None
            assert norm.running_var is not None
            yield "bn1_running_mean_after", norm.running_mean, None
            yield "bn1_running_var_after", norm.running_var, None
            yield "wrist_tokens", self.tokens["wrist_tokens"], None
            yield "wrist_trunk", self.tokens["wrist_trunk"], None

    def _layers(self) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        """Give what each block left; streams without an output have none after the last."""
        v, z, c = self.prefix.prefix_mask.shape[1], self.visible.shape[1], self.context.valid_mask.shape[1]
        vlm, _, context, _ = self.alive.split([v, z, c, self.robot_velocity.shape[1]], dim=1)
        layers = self.reference.layout.joint.num_layers
        for i in range(layers):
            robot = self.tokens[f"layer{i}/robot"]
            yield f"layer{i}/latent", self.tokens[f"layer{i}/latent"], None
            yield f"layer{i}/robot", robot[:, -self.robot_velocity.shape[1] :], None
            if i < layers - 1:
                yield f"layer{i}/vlm", self.tokens[f"layer{i}/vlm"], vlm
                yield f"layer{i}/context", robot[:, :c], context


def visible_in(reference: Reference, share: str) -> Tensor:
    """Give which latent tokens the robot expert may see, (b, z): `all`, `none`, or the drawn `half`."""
    half = reference.inputs["latent_visible_half"].bool()
    return {"all": torch.ones_like(half), "none": torch.zeros_like(half), "half": half}[share]
