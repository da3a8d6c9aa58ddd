"""Clips in which the head moves and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dataengine.curation.coverage import CHECKED, Coverage, Seen, unchecked
from dataengine.curation.film import Film
from dataengine.curation.stage import Quality
from dataengine.curation.stages import _camera_motion
from dataengine.episode import Kind

NUM_PAIRS = 8
"""Pairs of neighbouring frames looked at, evenly spaced over the clip."""
NOISE = 1.5
"""Change of brightness (0 to 255) between two frames that flicker and compression make."""


@dataclass(frozen=True, kw_only=True)
class DropCameraMotion:
    """Drop clips whose every change is the camera's own.

    A latent action describes what changes from frame to frame. Where somebody looks around, that is the head: the
    picture moves as a whole, and once that motion (shift, turn, scale, shear) is undone little change remains. Hands
    that do something while the head moves leave their own change behind, and such clips stay.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("human",)
    columns: ClassVar[tuple[str, ...]] = ("camera_motion", "own_motion")
    limits: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"max_camera_motion": "camera_motion", "min_own_motion": "own_motion"}
    )

    max_camera_motion: float = 0.01
    """Shift of the picture from frame to frame that is looking around, in shares of its side: the median of pairs."""
    min_own_motion: float = 0.22
    """Least share of the change between frames that remains once the camera's motion is undone, over all pairs."""

    def look(self, film: Film) -> Mapping[str, Any]:
        """Median shift of the picture, and the share of all change that no motion of the camera explains."""
        starts = [i for i in film.evenly(NUM_PAIRS) if i + 1 < film.num_frames]
        if not starts:
            return dict.fromkeys(self.columns, np.nan)
        cells = film.cells(sorted({*starts, *(i + 1 for i in starts)}), _camera_motion.SIDE)
        at = {frame: k for k, frame in enumerate(sorted({*starts, *(i + 1 for i in starts)}))}
        pairs = [_camera_motion.between(cells[at[i]], cells[at[i + 1]]) for i in starts]
        shift, before, after = np.array(pairs).T
        return {"camera_motion": float(np.median(shift)), "own_motion": _share(before, after)}

    def coverage(self, seen: Seen) -> Coverage:
        """Tell clips without two neighbouring pictures, or in which nothing changes."""
        return CHECKED if {"camera_motion", "own_motion"} <= set(seen.known) else unchecked("nothing that changes")

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        moved, own = quality["camera_motion"], quality["own_motion"]
        if moved > self.max_camera_motion and own < self.min_own_motion:
            return (
                f"the picture moves as a whole by {moved:.3f} of its side a frame, at most {self.max_camera_motion:g}; "
                f"{own:.0%} of the change is not the camera's, need {self.min_own_motion:.0%}"
            )
        return None


def _share(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Compare what remains with what was there, beyond noise; NaN where nothing changes."""
    change = np.maximum(before - NOISE, 0).sum()
    return float(np.clip(np.maximum(after - NOISE, 0).sum() / change, 0, 1)) if change > 0 else np.nan
