"""Settings of `villa label`, of a corpus and of videos."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from dataengine.config import MOST_HZ, MOST_SIDE, MOST_WORKERS, Config
from dataengine.framing import Fit
from pipelines.label.precision import Precision


class LabelConfig(Config):
    """Which model labels which corpus."""

    corpus: str
    """Directory or object-store URI."""
    lam: Path
    """Directory of the latent action model."""
    name: str | None = None
    """Name of the column, codes__NAME; the directory's own name if left out."""
    interval_s: float | None = Field(None, gt=0, le=3600)
    """Seconds between the two frames of a latent action; by default the model's own."""
    past_frames: bool = True
    """Read a latent action from its two frames and those before them that the model takes in; false: from the two
    alone, since a policy that sees the first of them cannot know what was before."""
    slot: str = "primary"
    """Camera whose frames are read."""
    precision: Precision = "fp32"
    """Of the model's products. `tf32` (GPUs) and `bf16` are faster; the report says how many codes that changes, which
    it tries on the first windows."""
    batch: int = Field(64, ge=1, le=65_536)
    """Windows that go through the model at once, at most; on a CPU as many as its cache holds."""
    device: str | None = None
    """`cpu`, `cuda`; by default the best there is."""
    threads: int = Field(0, ge=0, le=MOST_WORKERS)
    """Threads that decode; 0 takes one for each processor, or on a cluster one for each model."""
    engine: Literal["local", "ray"] = "local"
    """`ray` keeps a model on every GPU of the cluster, or on every core where there is none."""
    workers: int = Field(0, ge=0, le=MOST_WORKERS)
    """Models side by side with `ray`; 0 takes all the GPUs or cores."""
    ray_address: str | None = None
    """Cluster to join; by default that of RAY_ADDRESS, or one started in this machine."""


class LabelVideoConfig(Config):
    """Which model labels which videos."""

    videos: list[str] = Field(min_length=1)
    """Files, and folders whose videos are taken, also from folders below."""
    lam: Path
    """Directory of the latent action model, ours or a released one."""
    out: Path
    """New file `NAME.npz` or table `NAME.lance`."""
    name: str | None = None
    """Name of the columns in a table, latent__NAME and codes__NAME; the model directory's own name if left out."""
    interval_s: float | None = Field(None, gt=0, le=3600)
    """Seconds between the two frames of a latent action; by default the model's own."""
    past_frames: bool = True
    """Read a latent action from its two frames and those before them that the model takes in; false: from the two
    alone, since a policy that sees the first of them cannot know what was before."""
    rate_hz: float | None = Field(None, gt=0, le=MOST_HZ)
    """Latent actions in a second, a whole number of them in an interval; by default one, end to end."""
    fit: Fit | None = None
    """How frames that are not square become so: `squash`, `pad` or `crop`; by default as those that the model was
    trained on, else `squash`, as by `villa ingest`."""
    frame_size: int | None = Field(None, ge=16, le=MOST_SIDE)
    """Side in pixels that larger frames are scaled to first; by default as those that the model was trained on, else
    256, as by `villa ingest`."""
    batch: int = Field(64, ge=1, le=65_536)
    """Windows that go through the model at once, at most; on a CPU as many as its cache holds."""
    device: str | None = None
    """`cpu`, `cuda`; by default the best there is."""
    threads: int = Field(0, ge=0, le=MOST_WORKERS)
    """Videos decoded side by side; 0 takes one for each processor."""
