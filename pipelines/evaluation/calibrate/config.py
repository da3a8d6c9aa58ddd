"""What a simulator is held against, and by how much it may stray."""

from pathlib import Path

from pydantic import Field

from dataengine.config import DAY_S, MOST, Config
from pipelines.evaluation.libero_rules import LiberoScene

RATE_TOLERANCE = 0.01
"""Share by which two control rates may differ that are meant to be one."""
CALIBRATIONS = Path("runs/calibration")
"""Folder in which evaluations look for calibrations."""


class Bounds(Config):
    """By how much a simulator may stray."""

    out: Path = CALIBRATIONS
    """Folder of calibrations, a file for each simulator."""
    max_position_mm: float = Field(1.0, gt=0, le=1e6)
    """How far a hand may stray."""
    max_rotation_deg: float = Field(0.1, gt=0, le=360)
    """How far a hand may turn off."""
    max_other: float = Field(0.01, gt=0, le=1e6)
    """How far a gripper (0 closed to 1 open) or a joint (radians) may stray."""
    max_grey_levels: float = Field(1.0, gt=0, le=255)
    """How far a picture may differ, on average over its blocks."""


class CalibrateConfig(Bounds):
    """A simulator, and rollouts that it must repeat."""

    simulator: str
    """Which simulator."""
    demos: str = ""
    """Corpus of rollouts that `villa eval ... --record` wrote, of `libero` one of `libero_hdf5`: they are repeated. Of
    recordings whose starts nobody knows, rate, starts, pictures and motions are compared. Empty for the golden rollouts
    that come with it."""
    golden: Path | None = None
    """File of golden rollouts of a simulator of one's own: made from its expert where it is not there yet."""
    tasks: tuple[str, ...] | None = None
    """Tasks to replay; None for all that are recorded."""
    episodes: int = Field(3, ge=1, le=MOST)
    """Most rollouts per task."""
    step_timeout_s: float = Field(600.0, gt=0, le=DAY_S)
    """A simulator that does not answer for so long stops the command."""
    libero: LiberoScene = LiberoScene()
    """Where LIBERO is, and how the recordings in `demos` were drawn."""
