"""What an ingest is asked for: which dataset, into which corpus, and how hard to work for it."""

from typing import Any, Literal

from pydantic import Field

from dataengine.config import DAY_S, MOST_HZ, MOST_SIDE, MOST_WORKERS, Config
from dataengine.framing import Fit


class EngineConfig(Config):
    """Where the corpus lies, and how hard to work for it."""

    corpus: str = Field(min_length=1)
    """Corpus to create or extend."""
    engine: Literal["local", "ray"] = "local"
    """`local`: processes of this machine; `ray`: tasks on a cluster."""
    workers: int = Field(0, ge=0, le=MOST_WORKERS)
    """Parts read side by side; 0 for as many as there are cores."""
    strict: bool = False
    """Fail when anything was rejected."""
    dry_run: bool = False
    """List the parts, write nothing."""
    max_attempts: int = Field(3, ge=1, le=100)
    """How often a part is tried whose reader fails, crashes or hangs."""
    retry_rejected: bool = False
    """Try again what an earlier run rejected: parts that it gave up, and bad records of parts that it committed."""
    stall_s: float = Field(600.0, gt=0, le=DAY_S)
    """Seconds without a new episode after which a reader counts as hung; it is tried once more, then its part is given
    up."""
    memory_gb: float = Field(0.0, ge=0, le=1e6)
    """Memory that one reader may take; what needs more is rejected. 0 for an even share of the machine, at least 4."""
    ray_address: str | None = None
    """Ray cluster to join; without it an embedded one is started."""


class DatasetConfig(Config):
    """One dataset, and what shapes its rows."""

    source: str
    """Name from `villa sources`, or `module:Class`."""
    root: str
    """Folder or URI of the raw recordings."""
    frame_size: int = Field(256, ge=16, le=MOST_SIDE)
    """Side in pixels that larger frames are scaled to."""
    fit: Fit = "squash"
    """How frames that are not square become so: `squash` changes their shape, `pad` adds black bars, `crop` cuts off
    what sticks out of the middle. One for all of a dataset."""
    frame_hz: float = Field(10.0, gt=0, le=MOST_HZ)
    """Frames in a second that are kept of human video."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the source itself; `villa sources NAME` lists them."""


class IngestConfig(DatasetConfig, EngineConfig):
    """What to read, and where to put it."""
