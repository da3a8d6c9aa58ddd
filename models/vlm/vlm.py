"""The vision-language model, which computes the KV cache of picture and instruction that the experts attend to."""

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from models.layers.attention import KeyValue
from models.layers.stack import Stack, positions_from
from models.pictures import resize
from models.vlm.config import VlmConfig
from models.vlm.vision import VisionTower


def pixel_shuffle(patches: Float[Tensor, "b n d"], size: int) -> Float[Tensor, "b m e"]:
    """Concatenate the channels of every square of `size` x `size` patches, row by row, as Idefics3 does."""
    if size == 1:
        return patches
    rows = math.isqrt(patches.shape[1]) // size
    return rearrange(patches, "b (y u x v) d -> b (y x) (u v d)", y=rows, x=rows, u=size, v=size)


class Vlm(nn.Module):
    """Vision tower, projector and language model without its head; its last block computes keys and values only."""

    def __init__(self, config: VlmConfig) -> None:
        super().__init__()
        self.config = config
        width = config.text.width
        self.vision = VisionTower(config.vision)
        self.projector = nn.Linear(config.vision.width * config.pixel_shuffle**2, width)
        self.embed = nn.Embedding(config.vocab_size, width)
        self.stack = Stack(config.text, last_kv_only=True)
        nn.init.normal_(self.embed.weight, std=1.0 / config.text.embed_scale)  # tokens and patches at one scale

    def embed_prefix(
        self, image: UInt8[Tensor, "b c height width"], token_ids: Int[Tensor, "b l"], token_mask: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b n d"]:
        """Embed patches, then text; padding is zero."""
        seen = self.vision(resize(image, self.config.vision.image_size))
        patches = self.projector(pixel_shuffle(seen, self.config.pixel_shuffle))
        text = self.embed(token_ids) * token_mask[..., None] * self.config.text.embed_scale
        return torch.cat([patches, text.to(patches.dtype)], dim=1)

    def prefix_mask(self, token_mask: Bool[Tensor, "b l"]) -> Bool[Tensor, "b n"]:
        """Mark the tokens that may be attended to: all patches, and text that is not padding."""
        patches = token_mask.new_ones(token_mask.shape[0], self.config.num_image_tokens)
        return torch.cat([patches, token_mask], dim=1)

    def forward(
        self, image: UInt8[Tensor, "b c height width"], token_ids: Int[Tensor, "b l"], token_mask: Bool[Tensor, "b l"]
    ) -> list[KeyValue]:
        """Return the KV cache of picture and instruction, with attention between both. Positions start at 1."""
        x = self.embed_prefix(image, token_ids, token_mask)
        mask = self.prefix_mask(token_mask)[:, None].expand(-1, x.shape[1], -1)
        if self.config.causal:
            mask = mask.tril()
        return self.stack(x, positions_from(1, x.shape[1], x.device), [], mask)[1]
