"""Episodes too short to hold an action."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from dataengine.curation.coverage import CHECKED, Coverage, Seen
from dataengine.curation.episode_rows import EpisodeRows
from dataengine.curation.stage import Quality
from dataengine.episode import Kind


@dataclass(frozen=True, kw_only=True)
class DropShort:
    """Drop episodes that end before anything can happen.

    An aborted recording or a clip of a few frames has no pair of frames far enough apart for a latent action.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot", "human")
    columns: ClassVar[tuple[str, ...]] = ("num_steps", "duration_s")
    limits: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"min_steps": "num_steps", "min_duration_s": "duration_s"},
    )

    min_steps: int = 4
    """Fewest steps worth keeping."""
    min_duration_s: float = 0.5
    """Shortest time worth keeping."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Length in steps and seconds."""
        return {"num_steps": rows.num_steps.astype(float), "duration_s": rows.num_steps / rows.control_hz}

    def coverage(self, seen: Seen) -> Coverage:
        """Check every episode."""
        return CHECKED

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        if quality["num_steps"] < self.min_steps:
            return f"{quality['num_steps']:.0f} steps, need {self.min_steps}"
        if quality["duration_s"] < self.min_duration_s:
            return f"{quality['duration_s']:.2f} s, need {self.min_duration_s:g} s"
        return None
