"""Clips in which nothing happens."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dataengine.curation.coverage import CHECKED, Coverage, Seen, unchecked
from dataengine.curation.film import Film
from dataengine.curation.stage import Quality
from dataengine.curation.stages._pictures import CELLS, NUM_SAMPLES
from dataengine.episode import Kind

MOVER = 4
"""Cells that the least thing worth seeing covers, of 16 x 16: flicker at one edge covers fewer."""


@dataclass(frozen=True, kw_only=True)
class DropStillVideo:
    """Drop clips whose picture hardly changes.

    A scene that nobody touches has no latent action. Unlike a frozen camera, it flickers and its light wanders.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("human",)
    columns: ClassVar[tuple[str, ...]] = ("video_motion",)
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({"min_motion": "video_motion"})

    min_motion: float = 3.0
    """Least change of brightness (0 to 255) that some four of 256 cells show over the clip."""

    def look(self, film: Film) -> Mapping[str, Any]:
        """Range of the cell that is fourth in changing, changes of the whole picture's light left out."""
        cells = film.cells(film.evenly(NUM_SAMPLES), CELLS)
        if len(cells) < 2:
            return {"video_motion": np.nan}
        steady = cells - np.median(cells - cells[0], axis=(1, 2), keepdims=True)
        return {"video_motion": float(np.sort(np.ptp(steady, axis=0), axis=None)[-MOVER])}

    def coverage(self, seen: Seen) -> Coverage:
        """Tell clips without two pictures to compare."""
        return CHECKED if "video_motion" in seen.known else unchecked("fewer than two pictures")

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        if quality["video_motion"] < self.min_motion:
            return f"the picture changes by {quality['video_motion']:.2f} of 255, need {self.min_motion:g}"
        return None
