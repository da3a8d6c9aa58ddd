"""Which failures are explained, by which training episodes."""

from pathlib import Path

from pydantic import Field

from dataengine.config import MOST, Config


class FailuresConfig(Config):
    """Rollouts, the data that their policy was trained on, and the model that compares them."""

    rollouts: str
    """Folder of an evaluation that kept its episodes (`villa eval SIM POLICY --record DIR`), or a corpus whose episodes
    say whether they succeeded."""
    corpus: str
    """Corpus, or folder of shards, that the policy was trained on."""
    lam: Path
    """Folder of the latent action model that compares: labels of it in the corpus are read, else pictures."""
    policy: str = ""
    """Name of the policy, where a folder has rollouts of several."""
    datasets: tuple[str, ...] = ()
    """Compare with these datasets only; empty for all."""
    all_embodiments: bool = False
    """Compare with other robots and with humans too, of which short clips in which little happens are near to anything
    that stands still."""
    val_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of episodes that the training held out, which are left out here: give the training's own."""
    nearest: int = Field(3, ge=1, le=100)
    """Training episodes that are listed beside each failure."""
    most: int = Field(50, ge=1, le=MOST)
    """Most failures that are compared, spread over all; as many successes, for what is usual."""
    out: Path = Path("runs/failures")
    """Folder of `index.html`, `failures.json` and the pictures."""
    device: str | None = None
    """`cpu`, `cuda` ...; by default the best there is."""
