"""Clips in which one shot ends and another begins."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dataengine.curation.coverage import CHECKED, Coverage, Seen, unchecked
from dataengine.curation.film import Film
from dataengine.curation.stage import Quality
from dataengine.curation.stages._pictures import CELLS
from dataengine.episode import Kind

MOST_FRAMES = 1500
"""Frames looked at; a longer clip is looked at in so many, evenly spaced."""
NEIGHBOURS = 4
"""Changes to either side that a cut must stand out from."""
NOISE = 1.0
"""Change of brightness (0 to 255) that neighbours are taken to have at least."""

STRIKING = 10.0
"""Change beyond which only the ratio decides which place stands out most."""


@dataclass(frozen=True, kw_only=True)
class DropShotCuts:
    """Drop clips with a hard cut inside.

    No action leads from the last frame of one shot to the first of the next. A cut is one change between neighbouring
    frames that is large, out of proportion to those around it, and leaves nothing of the picture: a swing of the camera
    is large for many frames, and another exposure leaves the picture as it was.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("human",)
    columns: ClassVar[tuple[str, ...]] = ("cut_change", "cut_ratio", "cut_likeness")
    limits: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"min_change": "cut_change", "min_ratio": "cut_ratio", "max_likeness": "cut_likeness"}
    )

    min_change: float = 12.0
    """Mean change of brightness (0 to 255) from which on a change can be a cut."""
    min_ratio: float = 3.0
    """Least ratio to the changes around it."""
    max_likeness: float = 0.5
    """Largest correlation of the pictures before and after."""

    def look(self, film: Film) -> Mapping[str, Any]:
        """Change, ratio and likeness at the place that stands out most; NaN without three pictures."""
        cells = film.cells(film.evenly(MOST_FRAMES), CELLS)
        if len(cells) < 3:
            return dict.fromkeys(self.columns, np.nan)
        change = np.abs(np.diff(cells, axis=0)).mean(axis=(1, 2))
        ratio = change / np.maximum(_usual(change), NOISE)
        index = int(np.argmax(ratio * np.minimum(change, STRIKING)))
        likeness = _correlation(cells[index], cells[index + 1])
        return {"cut_change": float(change[index]), "cut_ratio": float(ratio[index]), "cut_likeness": likeness}

    def coverage(self, seen: Seen) -> Coverage:
        """Tell clips with fewer than two changes between pictures."""
        return CHECKED if "cut_change" in seen.known else unchecked("fewer than three pictures")

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        change, ratio, likeness = (quality[name] for name in self.columns)
        if change >= self.min_change and ratio >= self.min_ratio and likeness <= self.max_likeness:
            return (
                f"a cut: {change:.0f} of 255 in one frame, {ratio:.1f} times the changes around it, likeness "
                f"{likeness:.2f}; allowed {self.min_change:g}, {self.min_ratio:g} times or {self.max_likeness:g}"
            )
        return None


def _usual(change: NDArray[np.float32]) -> NDArray[np.float32]:
    """(m,) the second largest of the neighbours of each change: another cut nearby must not hide it."""
    padded = np.pad(change, NEIGHBOURS, constant_values=0)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1).copy()
    around[:, NEIGHBOURS] = 0
    return np.sort(around, axis=1)[:, -2]


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    x, y = a - a.mean(), b - b.mean()
    return float((x * y).sum() / max(float(np.sqrt((x**2).sum() * (y**2).sum())), 1e-6))
