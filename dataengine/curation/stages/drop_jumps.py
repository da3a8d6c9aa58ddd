"""States that leap where an arm cannot."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from dataengine.curation.coverage import CHECKED, Coverage, Seen, unchecked
from dataengine.curation.episode_rows import EpisodeRows
from dataengine.curation.stage import Measured, Quality, Survey
from dataengine.curation.stages import _spread
from dataengine.curation.stages._motion import REACH_M, are_metres, hands, no_position, reach
from dataengine.episode import Kind

TYPICAL_QUANTILE = 0.9
"""A step as large as an episode's larger ones; the median would be 0 for an arm that mostly waits."""
LEAST_TYPICAL_M = 0.001
"""A millimetre: below that a step is noise, and no scale to measure jumps by."""


@dataclass(frozen=True, kw_only=True)
class DropJumps:
    """Drop episodes whose recorded hand position jumps.

    Lost packets, a swapped sensor frame or two recordings glued together show as one step far beyond the others. Both
    must hold: faster than an arm moves, and out of proportion, so that a coarse clock alone condemns nobody. Where the
    unit is unknown, speed is measured in what the same embodiment usually reaches in the same dataset.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot",)
    columns: ClassVar[tuple[str, ...]] = (
        *("hand_speed_max_m_s", "hand_step_ratio"),
        *("jump_reach_own", "hand_speed_max_own"),
    )
    signatures: ClassVar[Mapping[str, pa.DataType]] = MappingProxyType({})
    limits: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "max_speed_m_s": "hand_speed_max_m_s",
            "max_step_ratio": "hand_step_ratio",
            "max_speed_reaches": "hand_speed_max_reaches",
        }
    )

    max_speed_m_s: float = 3.0
    """Fastest plausible hand; table-top arms are rated at 1 to 2 m/s."""
    max_step_ratio: float = 8.0
    """Largest step, in units of the episode's typical large step."""
    max_speed_reaches: float = 30.0
    """The same where the unit is unknown, in usual reaches of the embodiment a second: 3 m/s for as little as 0.1 m."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Speed of the fastest step, and its length over the typical one; NaN where the state does not say.

        In metres a second where the unit is known, else in its own, beside the reach in the same (`_own`).
        """
        measured = {name: rows.nan() for name in self.columns}
        for vectors in rows.vectors:
            away = reach(vectors)
            if away is None:
                continue
            least = np.full(len(away), LEAST_TYPICAL_M) if are_metres(vectors) else away * LEAST_TYPICAL_M / REACH_M
            fastest, worst = np.zeros(len(away)), np.full(len(away), np.nan)
            for hand in hands(vectors):
                i, steps = hand.pairs(1)
                length = steps.of(np.linalg.norm(hand.values[i + 1] - hand.values[i], axis=1))
                longest = length.max()
                typical = np.maximum(length.quantile(TYPICAL_QUANTILE), np.maximum(least, np.finfo(np.float64).tiny))
                fastest, worst = np.fmax(fastest, longest), np.fmax(worst, longest / typical)
            speed = np.where(np.isfinite(worst), fastest, np.nan) * vectors.control_hz
            if are_metres(vectors):
                measured["hand_speed_max_m_s"][vectors.rows] = speed
            else:
                measured["hand_speed_max_own"][vectors.rows], measured["jump_reach_own"][vectors.rows] = speed, away
            measured["hand_step_ratio"][vectors.rows] = worst
        return measured

    def coverage(self, seen: Seen) -> Coverage | None:
        """Tell episodes without two positions of a hand; whether an unknown unit can be checked is for the survey."""
        if "hand_speed_max_m_s" in seen.known:
            return CHECKED
        if "hand_speed_max_own" in seen.known:
            return None
        # Where a pose is said to be given, it is of a single step, or without x and y.
        return unchecked("fewer than two positions of a hand" if seen.state == "eef_pose" else no_position(seen))

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        speed_m_s, ratio = quality["hand_speed_max_m_s"], quality["hand_step_ratio"]
        if speed_m_s > self.max_speed_m_s and ratio > self.max_step_ratio:
            return (
                f"a hand jumped at {speed_m_s:.1f} m/s, {ratio:.0f} times its usual large step, "
                f"allowed {self.max_speed_m_s:g} m/s or {self.max_step_ratio:g} times"
            )
        return None

    def survey(self, episodes: Measured) -> Survey:
        """Check what is given in unknown units by what is usual."""
        values = _spread.numbers(episodes, "jump_reach_own", "hand_speed_max_own", "hand_step_ratio")
        speeds, objections, limits = np.full(len(episodes), np.nan), {}, {}
        coverage: dict[int, Coverage] = {}
        for group in _spread.groups(episodes, values):
            usual = np.median(group.values[:, 0])
            coverage |= _spread.coverage(group, usual)
            if not group.is_checked or not usual > 0:
                continue
            limits[group.name] = {"usual_reach": float(f"{usual:.4g}")}
            speeds[group.rows] = group.values[:, 1] / usual
            for row, speed, ratio in zip(group.rows.tolist(), speeds[group.rows], group.values[:, 2], strict=True):
                if speed > self.max_speed_reaches and ratio > self.max_step_ratio:
                    objections[row] = (
                        f"a hand jumped at {speed:.0f} usual reaches of {group.name} a second, {ratio:.0f} "
                        f"times its usual large step, allowed {self.max_speed_reaches:g} or "
                        f"{self.max_step_ratio:g} times"
                    )
        return Survey(
            numbers={"hand_speed_max_reaches": speeds}, objections=objections, coverage=coverage, limits=limits
        )
