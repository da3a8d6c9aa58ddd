"""What is predicted, of which recordings."""

from pathlib import Path

from pydantic import Field

from dataengine.config import MOST, Config, Seed


class OpenLoopConfig(Config):
    """A policy, and recorded episodes that it is held against."""

    policy: str
    """Folder of the trained policy."""
    corpus: str
    """Corpus, or folder of shards, whose held-out episodes are used."""
    datasets: tuple[str, ...] = ()
    """Only these; empty for all of robots that the policy knows."""
    val_fraction: float | None = Field(None, ge=0, le=1)
    """Share of episodes that the training held out; by default as the policy's checkpoint says. 1 takes all of them."""
    windows: int = Field(200, ge=1, le=MOST)
    """Most chunks for each robot in each dataset, spread over its episodes."""
    batch: int = Field(16, ge=1, le=4096)
    """Chunks predicted at once."""
    seed: Seed = 0
    """Draws the steps at which chunks begin."""
    out: Path = Path("runs/openloop")
    """Folder of the report and the picture."""
    device: str | None = None
    """`cpu`, `cuda` ...; by default the best there is."""
