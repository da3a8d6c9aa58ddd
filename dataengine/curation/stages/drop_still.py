"""Robots that hardly move."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from dataengine.curation.coverage import CHECKED, Coverage, Seen, checked, unchecked
from dataengine.curation.episode_rows import EpisodeRows
from dataengine.curation.stage import Measured, Quality, Survey
from dataengine.curation.stages import _spread
from dataengine.curation.stages._motion import are_metres, gripper_openings, no_position, reach
from dataengine.episode import Kind

WIDEST = 0.9
"""Share of the episodes of a embodiment whose grippers of unknown unit go less than all the way."""


@dataclass(frozen=True, kw_only=True)
class DropStill:
    """Drop episodes in which no hand leaves its place and no gripper moves.

    Idle teleoperation would teach a latent action model that nothing is the commonest action. What counts is the
    farthest a hand gets from its start, not the length of its path: sensor noise has a long path too. Where the unit
    is unknown, it is compared with what the same embodiment usually reaches in the same dataset. Joints pass.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot",)
    columns: ClassVar[tuple[str, ...]] = ("hand_reach_m", "gripper_range", "hand_reach_own", "gripper_range_own")
    signatures: ClassVar[Mapping[str, pa.DataType]] = MappingProxyType({})
    limits: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "min_reach_m": "hand_reach_m",
            "min_gripper_range": "gripper_range",
            "min_reach_share": "hand_reach_share",
        }
    )

    min_reach_m: float = 0.01
    """How far a hand must get from where it started; several times the noise of an arm's encoders."""
    min_gripper_range: float = 0.2
    """Or how much a gripper must open or close, as a share of its range."""
    min_reach_share: float = 0.05
    """The same where the unit is unknown, as a share of what the embodiment usually reaches."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Farthest distance of a hand from its start, and the widest change of a gripper; NaN where there is none.

        In metres and from 0 closed to 1 open where the unit is known, else in their own (`_own`).
        """
        measured = {name: rows.nan() for name in self.columns}
        for vectors in rows.vectors:
            away, grippers = reach(vectors), gripper_openings(vectors)
            if away is not None:
                measured["hand_reach_m" if are_metres(vectors) else "hand_reach_own"][vectors.rows] = away
            if grippers is not None:
                openings, known = grippers
                moved = (openings.max() - openings.min()).max(axis=-1)
                measured["gripper_range" if known else "gripper_range_own"][vectors.rows] = moved
        return measured

    def coverage(self, seen: Seen) -> Coverage | None:
        """Tell episodes without the position of a hand; whether an unknown unit can be checked is for the survey."""
        if "hand_reach_m" not in seen.known:
            return None if "hand_reach_own" in seen.known else unchecked(no_position(seen))
        if "gripper_range_own" in seen.known and "gripper_range" not in seen.known:
            return checked("but for hands that rest beside a gripper of unknown unit")
        return CHECKED

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        reach_m, moved = quality["hand_reach_m"], quality["gripper_range"]
        if reach_m < self.min_reach_m and np.isnan(moved) and np.isnan(quality["gripper_range_own"]):
            return f"hands stayed within {reach_m * 1000:.1f} mm of their start, need {self.min_reach_m * 1000:g} mm"
        if reach_m < self.min_reach_m and moved < self.min_gripper_range:
            return (
                f"hands stayed within {reach_m * 1000:.1f} mm and grippers within {moved:.2f} of their start, "
                f"need {self.min_reach_m * 1000:g} mm or {self.min_gripper_range:g}"
            )
        return None

    def survey(self, episodes: Measured) -> Survey:
        """Check what is given in unknown units by what is usual."""
        values = _spread.numbers(episodes, "hand_reach_own", "gripper_range_own", "gripper_range")
        shares, objections, limits = np.full(len(episodes), np.nan), {}, {}
        coverage: dict[int, Coverage] = {}
        for group in _spread.groups(episodes, values):
            usual, own, known = np.median(group.values[:, 0]), group.values[:, 1], group.values[:, 2]
            coverage |= _spread.coverage(group, usual)
            if not group.is_checked or not usual > 0:
                continue
            limits[group.name] = {"usual_reach": float(f"{usual:.4g}")}
            widest = np.nanquantile(own, WIDEST) if np.isfinite(own).any() else np.nan
            moved = np.where(np.isfinite(known), known, own / widest if widest > 0 else 0.0)
            shares[group.rows] = share = group.values[:, 0] / usual
            for row, part, opening in zip(group.rows.tolist(), share, np.nan_to_num(moved), strict=True):
                if part < self.min_reach_share and opening < self.min_gripper_range:
                    objections[row] = (
                        f"hands stayed within {part:.1%} of the usual reach of {group.name} and grippers within "
                        f"{opening:.2f} of their start, need {self.min_reach_share:.0%} or {self.min_gripper_range:g}"
                    )
        return Survey(numbers={"hand_reach_share": shares}, objections=objections, coverage=coverage, limits=limits)
