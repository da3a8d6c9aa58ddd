"""Shape of a stack of Gemma blocks."""

from types import MappingProxyType
from typing import Literal

from pydantic import Field

from models.config import MOST_LAYERS, MOST_WIDTH, Config

Activation = Literal["gelu_tanh", "silu"]


class StackConfig(Config):
    """Shape of one stream's blocks. Streams that attend jointly share layers, heads and head width."""

    renamed = MappingProxyType(
        {"num_key_heads": "num_kv_heads", "scaled_entry": "scale_embeddings", "theta": "rope_theta"}
    )

    width: int = Field(ge=1, le=MOST_WIDTH)
    """Width of a token."""
    mlp_width: int = Field(ge=1, le=MOST_WIDTH)
    """Hidden width of the gated feed-forward layers."""
    num_layers: int = Field(ge=1, le=MOST_LAYERS)
    """Layers."""
    num_heads: int = Field(ge=1, le=MOST_WIDTH)
    """Attention heads."""
    num_kv_heads: int = Field(1, ge=1, le=MOST_WIDTH)
    """Heads of keys and values, which query heads share (grouped-query attention)."""
    head_dim: int = Field(ge=2, le=MOST_WIDTH, multiple_of=2)
    """Width of a head."""
    scale_embeddings: bool = True
    """Multiply embeddings by sqrt(width), as Gemma does and as its weights expect. It also multiplies how far one
    optimiser step moves them, which a small model from random weights learns better without."""
    rope_theta: float = Field(1e4, gt=0, le=1e9)
    """Longest rotary wavelength, in tokens / 2 pi."""
    eps: float = Field(1e-6, gt=0, le=1)
    """Of the norms."""
    activation: Activation = "gelu_tanh"
    """Of the feed-forward layers: `gelu_tanh` is Gemma's, `silu` Llama's."""
    output_norms: bool = False
    """Norm what attention and feed-forward layers give before it is added, too, as Gemma 2 does."""
    soft_cap: float = Field(0.0, ge=0.0, le=1e6)
    """Bound on attention scores; the authors' code uses 50, PaliGemma none (0)."""

    @property
    def embed_scale(self) -> float:
        """Factor of the embeddings that enter the stack."""
        return self.width**0.5 if self.scale_embeddings else 1.0
