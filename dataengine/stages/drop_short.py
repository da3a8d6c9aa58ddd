"""Episodes too short to hold an action."""

from dataclasses import dataclass
from typing import ClassVar

from dataengine.episode import Episode, Kind


@dataclass(frozen=True, kw_only=True)
class DropShort:
    """Drop episodes that end before anything can happen.

    An aborted recording or a clip of a few frames has no pair of frames far enough apart for a latent action.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot", "human")
    columns: ClassVar[tuple[str, ...]] = ("num_steps", "duration_s")

    min_steps: int = 4
    """Fewest steps worth keeping."""
    min_duration_s: float = 0.5
    """Shortest time worth keeping."""

    def measure(self, episode: Episode) -> dict[str, float]:
        """Length in steps and seconds."""
        return {"num_steps": float(episode.num_steps), "duration_s": episode.num_steps / episode.control_hz}

    def reject(self, quality: dict[str, float]) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        if quality["num_steps"] < self.min_steps:
            return f"{quality['num_steps']:.0f} steps, need {self.min_steps}"
        if quality["duration_s"] < self.min_duration_s:
            return f"{quality['duration_s']:.2f} s, need {self.min_duration_s:g} s"
        return None
