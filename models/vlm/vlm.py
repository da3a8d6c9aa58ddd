"""A vision-language model that ends in keys and values: what the experts read, block by block."""

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from models.layers.attention import KeyValue
from models.layers.stack import Stack, positions_from
from models.pictures import resize
from models.vlm.config import VlmConfig
from models.vlm.vision import VisionTower, to_unit


class Vlm(nn.Module):
    """PaliGemma's parts. Its last block only writes: it has no language head, because it never speaks."""

    def __init__(self, config: VlmConfig) -> None:
        super().__init__()
        self.config = config
        width = config.text.width
        self.vision = VisionTower(config.vision)
        self.projector = nn.Linear(config.vision.width, width)
        self.embed = nn.Embedding(config.vocab_size, width)
        self.stack = Stack(config.text, silent_end=True)
        nn.init.normal_(self.embed.weight, std=1.0 / config.text.entry)  # words and patches enter at one scale

    def tokens(
        self, image: UInt8[Tensor, "b c height width"], token_ids: Int[Tensor, "b l"], token_mask: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b n d"]:
        """Lay out patches, then text; padded text is zero."""
        pixels = to_unit(resize(image, self.config.vision.image_size))
        patches = self.projector(self.vision(pixels))
        words = self.embed(token_ids) * token_mask[..., None] * self.config.text.entry
        return torch.cat([patches, words.to(patches.dtype)], dim=1)

    def visible(self, token_mask: Bool[Tensor, "b l"]) -> Bool[Tensor, "b n"]:
        """Say which of the model's tokens anyone may read: all patches, and the text that is not padding."""
        patches = token_mask.new_ones(token_mask.shape[0], self.config.vision.num_tokens)
        return torch.cat([patches, token_mask], dim=1)

    def forward(
        self, image: UInt8[Tensor, "b c height width"], token_ids: Int[Tensor, "b l"], token_mask: Bool[Tensor, "b l"]
    ) -> list[KeyValue]:
        """Read a picture and an instruction once; both see each other entirely. Positions start at 1."""
        x = self.tokens(image, token_ids, token_mask)
        seen = self.visible(token_mask)[:, None].expand(-1, x.shape[1], -1)
        return self.stack(x, positions_from(1, x.shape[1], x.device), [], seen)[1]
