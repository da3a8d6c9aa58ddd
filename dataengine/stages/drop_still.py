"""Robots that hardly move."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dataengine.episode import Kind
from dataengine.episode_rows import EpisodeRows
from dataengine.protocols import Quality
from dataengine.stages._motion import gripper_openings, hand_positions


@dataclass(frozen=True, kw_only=True)
class DropStill:
    """Drop episodes in which no hand leaves its place and no gripper moves.

    Idle teleoperation would teach a latent action model that nothing is the commonest action. What counts is the
    farthest a hand gets from its start, not the length of its path: sensor noise has a long path too.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot",)
    columns: ClassVar[tuple[str, ...]] = ("hand_reach_m", "gripper_range")
    limits: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"min_reach_m": "hand_reach_m", "min_gripper_range": "gripper_range"}
    )

    min_reach_m: float = 0.01
    """How far a hand must get from where it started; several times the noise of an arm's encoders."""
    min_gripper_range: float = 0.2
    """Or how much a gripper must open or close, as a share of its range."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Farthest distance of a hand from its start, and the widest change of a gripper; NaN where unknown."""
        reach_m, moved = rows.nan(), rows.nan()
        for vectors in rows.vectors:
            hands, grippers = hand_positions(vectors), gripper_openings(vectors)
            if hands is not None:
                off_start = np.linalg.norm(hands.values - hands.spread(hands.first()), axis=-1).max(axis=-1)
                reach_m[vectors.rows] = hands.of(off_start).max()
            if grippers is not None:
                moved[vectors.rows] = (grippers.max() - grippers.min()).max(axis=-1)
        return {"hand_reach_m": reach_m, "gripper_range": moved}

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        reach_m, moved = quality["hand_reach_m"], quality["gripper_range"]
        if reach_m < self.min_reach_m and moved < self.min_gripper_range:
            return (
                f"hands stayed within {reach_m * 1000:.1f} mm and grippers within {moved:.2f} of their start, "
                f"need {self.min_reach_m * 1000:g} mm or {self.min_gripper_range:g}"
            )
        return None
