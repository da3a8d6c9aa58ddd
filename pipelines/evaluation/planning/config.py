"""Whose plans are measured, on which recordings."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from dataengine.config import MOST, Config, Seed


class PlanningConfig(Config):
    """A policy, the latent action model of its plans, and recordings that say what happened."""

    policy: str
    """Folder of a policy that was trained with latent actions."""
    corpus: str
    """Corpus, or folder of shards: of robots and humans that training saw, or of others."""
    lam: str
    """Folder of the latent action model whose latent actions the policy learnt."""
    datasets: tuple[str, ...] = ()
    """Only these; empty for all."""
    val_fraction: float | None = Field(None, ge=0, lt=1)
    """Share of episodes that the training held out; by default as the policy's checkpoint says. What training never saw
    is taken whole."""
    starts: int = Field(64, ge=1, le=MOST)
    """Most steps of each embodiment in each dataset from which plans begin, spread over its episodes."""
    rewordings: Mapping[str, str] = Field(default_factory=dict)
    """Instructions of the recordings in new words: are plans the same?"""
    batch: int = Field(16, ge=1, le=4096)
    """Plans made at once."""
    examples: int = Field(4, ge=0, le=100)
    """Starts of each group that are drawn."""
    seed: Seed = 0
    """Draws what plans are shuffled with."""
    out: Path = Path("runs/planning")
    """Folder of the page, `planning.json` and the pictures."""
    device: str | None = None
    """`cpu`, `cuda` ...; by default the best there is."""
