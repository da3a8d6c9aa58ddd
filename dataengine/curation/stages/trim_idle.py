"""Idle heads and tails: a robot that waits before and after what it was asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dataengine.curation.coverage import CHECKED, Coverage, Seen, unchecked
from dataengine.curation.episode_rows import EpisodeRows
from dataengine.curation.stage import Quality
from dataengine.curation.stages._motion import BY_RANGE, POSITIONS, active
from dataengine.episode import Kind


@dataclass(frozen=True, kw_only=True)
class TrimIdle:
    """Leave out the idle ends of an episode, but for a margin.

    Operators need seconds to reach for the stop button. Steps of nothing teach a policy to wait and a latent action
    model that nothing is the commonest action; the episode between them is as good as any.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot",)
    columns: ClassVar[tuple[str, ...]] = (
        *("idle_head_steps", "idle_tail_steps", "active_steps", "steps_per_s"),
        "idle_unit_unknown",
    )
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({})

    max_idle_s: float = 1.0
    """An end that is idle for no longer stays as it is."""
    margin_s: float = 0.3
    """How much of an idle end is left before and after the motion: an action precedes what it moves."""
    min_steps: int = 8
    """An episode of which less would be left stays whole."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Count steps before anything leaves its start, and after everything has come to its end.

        What counts as left is 5 mm, or an angle or opening that weighs as much, or where a unit is not known
        (`idle_unit_unknown` is 1) a fortieth of how far such values range. NaN where nothing ever moves or the state
        does not say.
        """
        head, tail, unknown = rows.nan(), rows.nan(), rows.nan()
        for vectors in rows.vectors:
            bounds = active(vectors)
            if bounds is not None:
                head[vectors.rows], tail[vectors.rows] = np.floor(bounds[0]), np.ceil(bounds[1])
                if not vectors.state_layout.is_known(range(vectors.state_layout.dim)):
                    unknown[vectors.rows] = 1.0
        idle_tail = rows.num_steps - 1 - tail
        moving = rows.num_steps - head - idle_tail
        return {
            "idle_head_steps": head,
            "idle_tail_steps": idle_tail,
            "active_steps": moving,
            "steps_per_s": rows.control_hz,
            "idle_unit_unknown": unknown,
        }

    def coverage(self, seen: Seen) -> Coverage:
        """Tell episodes in which nothing ever moves, or whose state does not say where the robot is."""
        if "idle_head_steps" not in seen.known:
            if seen.state not in POSITIONS:
                return unchecked(f"a state of {seen.state}, which is no place" if seen.state else "no state")
            return unchecked("nothing that moves")
        if "idle_unit_unknown" in seen.known:
            return BY_RANGE
        return CHECKED

    def trim(self, quality: Quality) -> tuple[int, int]:
        """Count the steps to leave out at the head and at the tail."""
        hz = quality["steps_per_s"]
        head, tail = (self._cut(quality[name], hz) for name in ("idle_head_steps", "idle_tail_steps"))
        left = quality["idle_head_steps"] + quality["active_steps"] + quality["idle_tail_steps"] - head - tail
        return (head, tail) if left >= self.min_steps else (0, 0)

    def _cut(self, idle: float, hz: float) -> int:
        return max(0, int(idle - np.ceil(self.margin_s * hz))) if idle > self.max_idle_s * hz else 0
