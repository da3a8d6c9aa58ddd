"""Baselines that plan codes of latent actions by cross-entropy, one after another, in place of denoising vectors.

`autoregressive`: a planner predicts codes from the prefix and those before, with the true ones in training, and the
robot expert reads them (as villa-X describes GO-1; others describe GO-1 otherwise). `pretraining`: the vision-language
model first learns to predict codes, then that head is left alone and the robot expert learns (as LAPA).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from models.act import masks
from models.act.caches import PrefixCache
from models.act.config import ActConfig
from models.layers.attention import KeyValue, concatenate
from models.layers.norm import GemmaRMSNorm
from models.layers.stack import Stack, positions_from
from models.parts import Counts, Random, mean_of


class CodePlanner(nn.Module):
    """Predicts the z codes of a plan from the prefix, each from those before it."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.num_tokens, self.num_codes = config.num_latent_tokens, config.num_codes
        width = config.expert.width
        self.embed = nn.Embedding(config.num_codes + 1, width)  # the last row begins every plan
        self.stack = Stack(config.expert)
        self.norm = GemmaRMSNorm(width, config.expert.eps)
        self.head = nn.Linear(width, config.num_codes)
        nn.init.normal_(self.embed.weight, std=1.0 / config.expert.embed_scale)

    def forward(
        self, codes: Int[Tensor, "b z"], prefix: PrefixCache, valid_mask: Bool[Tensor, "b z"]
    ) -> tuple[Float[Tensor, "b z codes"], list[KeyValue]]:
        """Give the logits of every code, and the KV cache of the codes themselves; those that are not valid are 0."""
        b, z = codes.shape
        begin = codes.new_full((b, 1), self.num_codes)
        x = self.embed(torch.cat([begin, codes.where(valid_mask, 0)], dim=1)) * self.stack.config.embed_scale
        known = torch.cat([valid_mask.new_ones(b, 1), valid_mask], dim=1)
        causal = torch.ones(z + 1, z + 1, dtype=torch.bool, device=codes.device).tril()
        own = causal & (known[:, None] | torch.eye(z + 1, dtype=torch.bool, device=codes.device))
        mask = torch.cat([prefix.prefix_mask[:, None].expand(b, z + 1, -1), own], dim=-1)
        out, kv_cache = self.stack(x, positions_from(1, z + 1, codes.device), [prefix.kv_cache], mask)
        own_codes = [KeyValue(kv.key[:, :, 1:], kv.value[:, :, 1:]) for kv in kv_cache]
        return self.head(self.norm(out[:, :z])), own_codes

    def loss(
        self,
        codes: Int[Tensor, "b z"],
        prefix: PrefixCache,
        valid_mask: Bool[Tensor, "b z"],
        counts: Counts | None,
    ) -> tuple[Float[Tensor, ""], list[KeyValue]]:
        """Average the cross-entropy of valid codes; return the KV cache of the true ones too."""
        logits, kv_cache = self(codes, prefix, valid_mask)
        error = F.cross_entropy(logits.float().transpose(1, 2), codes.where(valid_mask, 0), reduction="none")
        return mean_of(error.where(valid_mask, 0.0), valid_mask, counts, "codes"), kv_cache

    def extend(self, prefix: PrefixCache) -> PrefixCache:
        """Plan the likeliest code after the likeliest, and add the plan to what the robot expert reads."""
        b, z, device = prefix.prefix_mask.shape[0], self.num_tokens, prefix.prefix_mask.device
        codes = torch.zeros(b, z, dtype=torch.long, device=device)
        valid = torch.ones(b, z, dtype=torch.bool, device=device)
        for i in range(z):
            codes[:, i] = self(codes, prefix, valid)[0][:, i].argmax(dim=-1)
        return joined(prefix, self(codes, prefix, valid)[1], valid)


def joined(prefix: PrefixCache, kv_cache: list[KeyValue], visible_mask: Bool[Tensor, "b z"]) -> PrefixCache:
    """Let whoever reads the prefix read a plan, too."""
    both = [concatenate([*pair]) for pair in zip(prefix.kv_cache, kv_cache, strict=True)]
    return PrefixCache(both, torch.cat([prefix.prefix_mask, visible_mask], dim=1))


def drawn(
    config: ActConfig, prefix: PrefixCache, kv_cache: list[KeyValue], valid_mask: Bool[Tensor, "b z"], random: Random
) -> PrefixCache:
    """Add the true plan to the prefix as the robot expert reads it in training, masked at random, without gradient."""
    shape = (valid_mask.shape[0], valid_mask.shape[1])
    visible = masks.draw_visible_mask(
        shape, config.latent_dropout, config.latent_keep_ratio, valid_mask.device, random, 1
    )
    return joined(prefix, [kv.detach() for kv in kv_cache], visible & valid_mask)
