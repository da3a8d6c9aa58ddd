"""Cameras that stopped while the recording went on."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dataengine.episode import Kind
from dataengine.film import Film
from dataengine.protocols import Quality
from dataengine.stages._pictures import CELLS, NUM_SAMPLES


@dataclass(frozen=True, kw_only=True)
class DropFrozenCamera:
    """Drop episodes whose main camera shows one picture throughout.

    A frozen stream pairs real actions with a picture in which nothing happens: the worst of lies to an inverse
    dynamics model.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot", "human")
    columns: ClassVar[tuple[str, ...]] = ("picture_change",)
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({"min_change": "picture_change"})

    min_change: float = 1.5
    """Least change of brightness (0 to 255) in some sixteenth by sixteenth of the picture, over the episode."""

    def look(self, film: Film) -> Mapping[str, Any]:
        """Largest change of any cell against the first picture; NaN without two pictures."""
        cells = film.cells(film.evenly(NUM_SAMPLES), CELLS)
        return {"picture_change": float(np.abs(cells[1:] - cells[0]).max()) if len(cells) > 1 else np.nan}

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        if quality["picture_change"] < self.min_change:
            return f"camera changes by {quality['picture_change']:.2f} of 255 at most, need {self.min_change:g}"
        return None
