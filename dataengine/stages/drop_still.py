"""Robots that hardly move."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.episode import Episode, Kind
from dataengine.stages._motion import gripper_openings, hand_positions


@dataclass(frozen=True, kw_only=True)
class DropStill:
    """Drop episodes in which no hand leaves its place and no gripper moves.

    Idle teleoperation would teach a latent action model that nothing is the commonest action. What counts is the
    farthest a hand gets from its start, not the length of its path: sensor noise has a long path too.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot",)
    columns: ClassVar[tuple[str, ...]] = ("hand_reach_m", "gripper_range")

    min_reach_m: float = 0.01
    """How far a hand must get from where it started; several times the noise of an arm's encoders."""
    min_gripper_range: float = 0.2
    """Or how much a gripper must open or close, as a share of its range."""

    def measure(self, episode: Episode) -> dict[str, float]:
        """Farthest distance of a hand from its start, and the widest change of a gripper; NaN where unknown."""
        hands, grippers = hand_positions(episode), gripper_openings(episode)
        reach = np.nan if hands is None else np.linalg.norm(hands - hands[0], axis=-1).max()
        moved = np.nan if grippers is None else np.ptp(grippers, axis=0).max()
        return {"hand_reach_m": float(reach), "gripper_range": float(moved)}

    def reject(self, quality: dict[str, float]) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        reach_m, moved = quality["hand_reach_m"], quality["gripper_range"]
        if reach_m < self.min_reach_m and moved < self.min_gripper_range:
            return (
                f"hands stayed within {reach_m * 1000:.1f} mm and grippers within {moved:.2f} of their start, "
                f"need {self.min_reach_m * 1000:g} mm or {self.min_gripper_range:g}"
            )
        return None
