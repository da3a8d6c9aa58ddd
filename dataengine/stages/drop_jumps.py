"""States that leap where an arm cannot."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.episode import Episode, Kind
from dataengine.stages._motion import hand_positions

TYPICAL_QUANTILE = 0.9
"""A step as large as an episode's larger ones; the median would be 0 for an arm that mostly waits."""
LEAST_TYPICAL_M = 0.001
"""A millimetre: below that a step is noise, and no scale to measure jumps by."""


@dataclass(frozen=True, kw_only=True)
class DropJumps:
    """Drop episodes whose recorded hand position jumps.

    Lost packets, a swapped sensor frame or two recordings glued together show as one step far beyond the others. Both
    must hold: faster than an arm moves, and out of proportion, so that a coarse clock alone condemns nobody.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot",)
    columns: ClassVar[tuple[str, ...]] = ("hand_speed_max_m_s", "hand_step_ratio")

    max_speed_m_s: float = 3.0
    """Fastest plausible hand; table-top arms are rated at 1 to 2 m/s."""
    max_step_ratio: float = 8.0
    """Largest step, in units of the episode's typical large step."""

    def measure(self, episode: Episode) -> dict[str, float]:
        """Speed of the fastest step, and its length over the typical one; NaN where the state does not say."""
        hands = hand_positions(episode)
        if hands is None or len(hands) < 2:
            return {"hand_speed_max_m_s": np.nan, "hand_step_ratio": np.nan}
        steps_m = np.linalg.norm(np.diff(hands, axis=0), axis=-1)  # (t - 1, hands)
        typical_m = np.maximum(np.quantile(steps_m, TYPICAL_QUANTILE, axis=0), LEAST_TYPICAL_M)
        return {
            "hand_speed_max_m_s": float(steps_m.max() * episode.control_hz),
            "hand_step_ratio": float((steps_m / typical_m).max()),
        }

    def reject(self, quality: dict[str, float]) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        speed_m_s, ratio = quality["hand_speed_max_m_s"], quality["hand_step_ratio"]
        if speed_m_s > self.max_speed_m_s and ratio > self.max_step_ratio:
            return (
                f"a hand jumped at {speed_m_s:.1f} m/s, {ratio:.0f} times its usual large step, "
                f"allowed {self.max_speed_m_s:g} m/s or {self.max_step_ratio:g} times"
            )
        return None
