"""Whose motion, and which robot is to repeat it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from dataengine.config import DAY_S, MOST, MOST_SIDE, Config
from dataengine.framing import Fit


class TransferConfig(Config):
    """Videos, the latent action model that reads them, and the robot that acts."""

    videos: list[str] = Field(min_length=1)
    """Videos, folders of videos, or one corpus or folder of shards, whose states say where hands really went."""
    to: Annotated[str, Field(min_length=1)]
    """Embodiment that acts, as the model's training called it."""
    lam: Path
    """Folder of a latent action model of ours with a proprio forward model."""
    simulator: str = ""
    """Where it acts; by default the simulator of this embodiment."""
    task: str = ""
    """Scene in which it acts; by default that of an episode's instruction, else the simulator's first."""
    acts_as: str = ""
    """Which of the robot's datasets is the context: its scale and controller; by default that of the simulator's
    recordings, else the one that has most episodes."""
    datasets: tuple[str, ...] = ()
    """Of a corpus: take episodes of these, human ones too; empty for all robots."""
    clips: int = Field(8, ge=1, le=MOST)
    """Of a corpus: how many episodes, spread over the instructions, held-out ones where there are some."""
    val_fraction: float | None = Field(None, ge=0, lt=1)
    """Of a corpus: share of episodes that the model's training held out; by default as its checkpoint says."""
    max_s: float = Field(30.0, gt=0, le=DAY_S)
    """Seconds of a video that are repeated at most."""
    shuffles: int = Field(4, ge=1, le=1000)
    """Runs with latent actions of other moments, which show what direction chance alone makes."""
    seed_offset: int = Field(0, ge=0, le=MOST)
    """Which of the unseen starts is the first; each video has the next."""
    step_timeout_s: float = Field(300.0, gt=0, le=DAY_S)
    """A simulator that does not answer for so long stops the command; the same one goes on behind the last clip."""
    fit: Fit | None = None
    """How frames of a video that are not square become so; by default as those that the model was trained on."""
    frame_size: int | None = Field(None, ge=16, le=MOST_SIDE)
    """Side in pixels that larger frames of a video are scaled to first; by default as in the model's training."""
    out: Path = Path("runs/transfer")
    """Folder of the page, trajectories, plots, videos side by side, and `transfer.json`."""
    device: str | None = None
    """`cpu`, `cuda` ...; by default the best there is."""
