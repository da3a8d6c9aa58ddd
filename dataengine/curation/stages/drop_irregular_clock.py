"""Clocks that do not tick as the recording says."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dataengine.curation.coverage import CHECKED, Coverage, Seen, unchecked
from dataengine.curation.episode_rows import EpisodeRows
from dataengine.curation.stage import Quality
from dataengine.episode import Kind

UNEVEN = 0.5
"""Share of a period by which a step must be off to count as uneven."""
PAUSE = 3.0
"""A step so many times as long as the period and as the median step is a pause, and says nothing about the rate."""


@dataclass(frozen=True, kw_only=True)
class DropIrregularClock:
    """Drop episodes whose time stamps contradict their rate, or stop for long.

    Windows are spaced in seconds by the rate; where it is wrong, or where the recorder paused, the same number of steps
    is another length of time.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot", "human")
    columns: ClassVar[tuple[str, ...]] = ("clock_rate_error", "clock_gap_s", "clock_uneven_share")
    limits: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "max_rate_error": "clock_rate_error",
            "max_gap_s": "clock_gap_s",
            "max_uneven_share": "clock_uneven_share",
        }
    )

    max_rate_error: float = 0.2
    """How far the mean step, without pauses, may be off the period, as a share of it."""
    max_gap_s: float = 3.0
    """Longest pause, beyond the period itself."""
    max_uneven_share: float = 0.5
    """Largest share of steps that are off by more than half a period."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Error of the mean step, the longest pause, and the share of uneven steps; NaN for a single step.

        The mean, as frames picked from video of another rate come at steps of two lengths, neither of them the period.
        """
        i, steps = rows.time_ns.pairs(1)
        time_ns = rows.time_ns.values
        periods = steps.of((time_ns[i + 1] - time_ns[i]) * (rows.control_hz[steps.owners] / 1e9))  # in periods
        uneven = steps.of((np.abs(periods.values - 1) > UNEVEN).astype(np.float64))
        ticking = (periods.values <= PAUSE * periods.spread(np.maximum(periods.quantile(0.5), 1))).astype(np.float64)
        mean = steps.of(periods.values * ticking).sum() / np.maximum(steps.of(ticking).sum(), 1)
        return {
            "clock_rate_error": np.where(steps.lengths > 0, np.abs(mean - 1), np.nan),
            "clock_gap_s": np.maximum(periods.max() - 1, 0) / rows.control_hz,
            "clock_uneven_share": uneven.mean(),
        }

    def coverage(self, seen: Seen) -> Coverage:
        """Tell episodes without two steps to compare."""
        return CHECKED if "clock_rate_error" in seen.known else unchecked("a single step")

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        error, gap_s, uneven = (quality[name] for name in self.columns)
        if error > self.max_rate_error:
            return f"its mean step is {error:.0%} off its rate, allowed {self.max_rate_error:.0%}"
        if gap_s > self.max_gap_s:
            return f"its clock stops for {gap_s:.2f} s, allowed {self.max_gap_s:g} s"
        if uneven > self.max_uneven_share:
            return f"{uneven:.0%} of its steps are off by over half a period, allowed {self.max_uneven_share:.0%}"
        return None
