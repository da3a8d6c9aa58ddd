"""States that leap where an arm cannot."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dataengine.episode import Kind
from dataengine.episode_rows import EpisodeRows
from dataengine.protocols import Quality
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
    limits: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"max_speed_m_s": "hand_speed_max_m_s", "max_step_ratio": "hand_step_ratio"}
    )

    max_speed_m_s: float = 3.0
    """Fastest plausible hand; table-top arms are rated at 1 to 2 m/s."""
    max_step_ratio: float = 8.0
    """Largest step, in units of the episode's typical large step."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Speed of the fastest step, and its length over the typical one; NaN where the state does not say."""
        speed_m_s, ratio = rows.nan(), rows.nan()
        for vectors in rows.vectors:
            hands = hand_positions(vectors)
            if hands is None:
                continue
            i, steps = hands.pairs(1)
            length_m = np.linalg.norm(hands.values[i + 1] - hands.values[i], axis=-1)  # (m, hands)
            fastest_m, worst = steps.of(length_m.max(axis=1)).max(), np.full(len(vectors.rows), np.nan)
            for hand_m in length_m.T:
                hand = steps.of(hand_m)
                typical_m = np.maximum(hand.quantile(TYPICAL_QUANTILE), LEAST_TYPICAL_M)
                worst = np.fmax(worst, hand.max() / typical_m)
            speed_m_s[vectors.rows] = fastest_m * vectors.control_hz
            ratio[vectors.rows] = worst
        return {"hand_speed_max_m_s": speed_m_s, "hand_step_ratio": ratio}

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        speed_m_s, ratio = quality["hand_speed_max_m_s"], quality["hand_step_ratio"]
        if speed_m_s > self.max_speed_m_s and ratio > self.max_step_ratio:
            return (
                f"a hand jumped at {speed_m_s:.1f} m/s, {ratio:.0f} times its usual large step, "
                f"allowed {self.max_speed_m_s:g} m/s or {self.max_step_ratio:g} times"
            )
        return None
