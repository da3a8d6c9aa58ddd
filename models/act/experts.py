"""The two experts, which denoise latent actions and robot actions."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from models.act import masks
from models.act.caches import LatentCache, PrefixCache
from models.act.config import ActConfig
from models.act.context import Context, ContextEncoder
from models.act.embodiment import ActionEncoder, action_decoder, action_encoder
from models.layers.attention import KeyValue
from models.layers.norm import GemmaRMSNorm
from models.layers.sinusoid import time_sinusoid
from models.layers.stack import Stack, positions_from


class LatentExpert(nn.Module):
    """Denoises latent actions, conditioned on the prefix only."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.width = config.expert.width
        self.encoder = ActionEncoder(config.latent_dim, self.width)
        self.stack = Stack(config.expert)
        self.norm = GemmaRMSNorm(self.width, config.expert.eps)
        self.decoder = nn.Linear(self.width, config.latent_dim)

    def forward(
        self, x: Float[Tensor, "b z d"], t: Float[Tensor, "b"], prefix: PrefixCache, valid_mask: Bool[Tensor, "b z"]
    ) -> tuple[Float[Tensor, "b z d"], list[KeyValue]]:
        """Predict the velocity of the latents at flow time t; return the stream's KV cache too."""
        tokens = self.encoder(x, time_sinusoid(t, self.width)) * self.stack.config.embed_scale
        positions = positions_from(1, x.shape[1], x.device)
        mask = masks.latent_attention_mask(prefix.prefix_mask, valid_mask)
        out, kv_cache = self.stack(tokens, positions, [prefix.kv_cache], mask)
        return self.decoder(self.norm(out)), kv_cache


class RobotExpert(nn.Module):
    """Denoises robot actions, conditioned on prefix, latent actions and context tokens, which share its weights."""

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
        t: Float[Tensor, "b *h"],
        prefix: PrefixCache,
        context: Context,
        latent: LatentCache | None,
        valid_mask: Bool[Tensor, "b h"],
        embodiment_id: Int[Tensor, "b"],
    ) -> Float[Tensor, "b h a"]:
        """Predict the velocity of the actions at flow time t, of a row or of each of its steps.

        Steps where `valid_mask` is false are padding.
        """
        tokens = self.encoder(x, embodiment_id, time_sinusoid(t, self.width))
        tokens = torch.cat([context.tokens.to(tokens.dtype), tokens], dim=1) * self.stack.config.embed_scale
        visible_mask = prefix.prefix_mask[:, :0] if latent is None else latent.visible_mask
        mask = masks.robot_attention_mask(prefix.prefix_mask, visible_mask, context.valid_mask, valid_mask)
        caches = [prefix.kv_cache] if latent is None else [prefix.kv_cache, latent.kv_cache]
        positions = positions_from(1, tokens.shape[1], x.device)
        out, _ = self.stack(tokens, positions, caches, mask, num_out=x.shape[1])
        return self.decoder(self.norm(out), embodiment_id)
