"""Shape of a row of Gemma blocks."""

from pydantic import Field

from models.config import MOST_LAYERS, MOST_WIDTH, Config


class StackConfig(Config):
    """Shape of one stream's blocks. Streams that read each other share layers, heads and head width."""

    width: int = Field(ge=1, le=MOST_WIDTH)
    mlp_width: int = Field(ge=1, le=MOST_WIDTH)
    num_layers: int = Field(ge=1, le=MOST_LAYERS)
    num_heads: int = Field(ge=1, le=MOST_WIDTH)
    num_key_heads: int = Field(1, ge=1, le=MOST_WIDTH)
    head_dim: int = Field(ge=2, le=MOST_WIDTH, multiple_of=2)
    scaled_entry: bool = True
    """Multiply tokens by sqrt(width) on entry, as Gemma does and as its weights expect. It also multiplies how far one
    optimiser step moves them, which a small model from random weights learns better without."""
    theta: float = Field(1e4, gt=0, le=1e9)
    """Longest rotary wavelength, in tokens / 2 pi."""
    eps: float = Field(1e-6, gt=0, le=1)
    soft_cap: float = Field(0.0, ge=0.0, le=1e6)
    """Bound on attention scores; the authors' code uses 50, PaliGemma none (0)."""

    @property
    def entry(self) -> float:
        """What tokens are multiplied by on entry."""
        return self.width**0.5 if self.scaled_entry else 1.0
