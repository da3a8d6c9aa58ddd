"""Shape of low-rank adapters."""

from typing import Literal

from pydantic import Field

from models.config import MOST_WIDTH, Config

LoraTarget = Literal["vision", "projector", "language", "latent", "robot"]
"""Part of a policy: vision tower, its projector, language model, latent expert, robot expert."""


class LoraConfig(Config):
    """Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685): a linear map W becomes W + alpha / rank B A."""

    rank: int = Field(16, ge=1, le=MOST_WIDTH)
    """Inner width of an adapter."""
    alpha: float = Field(16.0, gt=0, le=1e6)
    """An adapter's change is scaled by alpha / rank."""
    targets: tuple[LoraTarget, ...] = Field(("vision", "projector", "language", "latent", "robot"), min_length=1)
    """Parts whose linear maps get adapters. All of the policy but these and what is each embodiment's own stays as it
    was."""
