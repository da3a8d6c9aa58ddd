"""What one stream of tokens leaves for those that attend to it."""

from typing import NamedTuple

from jaxtyping import Bool
from torch import Tensor

from models.layers.attention import KeyValue


class PrefixCache(NamedTuple):
    """KV cache of the prefix: image patches, then instruction tokens."""

    kv_cache: list[KeyValue]
    """One entry per block of the language model."""
    prefix_mask: Bool[Tensor, "b v"]
    """False for padding of the instruction."""

    def repeat(self, times: int) -> "PrefixCache":
        """Repeat every batch row `times` times in a row."""
        return PrefixCache([kv.repeat(times) for kv in self.kv_cache], self.prefix_mask.repeat_interleave(times, 0))


class LatentCache(NamedTuple):
    """KV cache of the latent expert, and which of its tokens the robot expert attends to."""

    kv_cache: list[KeyValue]
    visible_mask: Bool[Tensor, "b z"]
