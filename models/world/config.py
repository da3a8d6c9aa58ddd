"""Settings of the world model."""

from typing import Literal

from pydantic import Field, model_validator

from models.config import MOST_LAYERS, MOST_PATCHES, MOST_PIXELS, MOST_STEPS, MOST_WIDTH, Config


class WorldConfig(Config):
    """Shape and recipe of the world model."""

    resolution: int = Field(128, ge=8, le=MOST_PIXELS)
    """Side in pixels that every frame is scaled to; the aspect ratio is not kept."""
    patch_size: int = Field(8, ge=1, le=MOST_PIXELS)
    """Side of a patch in pixels; a patch is a token."""
    context: int = Field(2, ge=1, le=MOST_STEPS)
    """Context frames of a prediction, the current one included. The first frame is repeated before the clip's start."""
    depth: int = Field(6, ge=1, le=MOST_LAYERS)
    """Layers."""
    width: int = Field(384, ge=8, le=MOST_WIDTH)
    """Width of a token."""
    heads: int = Field(6, ge=1, le=MOST_WIDTH)
    """Attention heads."""
    qk_norm: bool = True
    """Normalise queries and keys."""
    num_slots: int = Field(4, ge=1, le=MOST_STEPS)
    """Codes in one latent action (k)."""
    latent_dim: int = Field(32, ge=1, le=MOST_WIDTH)
    """Width of a code (d)."""
    latent_scale: float = Field(1.0, gt=0, le=1e6)
    """Latent actions are divided by this; training takes their root mean square."""
    rollout: int = Field(4, ge=1, le=MOST_STEPS)
    """Steps that the loss follows the model's own frames."""
    rollout_growth: float = Field(0.5, ge=0, le=1)
    """Share of the run over which rollouts grow from one step to `rollout`; 0 has them full from the start."""
    error: Literal["squared", "absolute"] = "squared"
    """What the loss averages: squares favour PSNR, absolute values sharper edges."""

    @model_validator(mode="after")
    def _fits(self) -> "WorldConfig":
        if self.resolution % self.patch_size:
            raise ValueError(f"resolution {self.resolution} is no multiple of patch_size {self.patch_size}")
        if self.grid**2 > MOST_PATCHES:
            raise ValueError(f"resolution {self.resolution} has {self.grid**2} patches, at most {MOST_PATCHES}")
        if self.width % self.heads or self.width % 4:
            raise ValueError(f"width {self.width} must be a multiple of 4 and of its {self.heads} heads")
        return self

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.resolution // self.patch_size
