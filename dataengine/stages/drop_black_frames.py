"""Cameras that show darkness."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dataengine.episode import Kind
from dataengine.film import Film
from dataengine.protocols import Quality
from dataengine.stages._pictures import CELLS, NUM_SAMPLES

BLACK = 12.0
"""Brightness (0 to 255) up to which a picture is black: a covered lens, a redacted span, a stream not yet started."""


@dataclass(frozen=True, kw_only=True)
class DropBlackFrames:
    """Drop episodes whose main camera is black for much of the time."""

    kinds: ClassVar[tuple[Kind, ...]] = ("robot", "human")
    columns: ClassVar[tuple[str, ...]] = ("black_share",)
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({"max_black_share": "black_share"})

    max_black_share: float = 0.3
    """Largest share of black pictures among those looked at."""

    def look(self, film: Film) -> Mapping[str, Any]:
        """Share of pictures in which even the brightest cell is black; NaN without a camera."""
        cells = film.cells(film.evenly(NUM_SAMPLES), CELLS)
        return {"black_share": float((cells.max(axis=(1, 2)) <= BLACK).mean()) if len(cells) else np.nan}

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        if quality["black_share"] > self.max_black_share:
            return f"{quality['black_share']:.0%} of the pictures are black, allowed {self.max_black_share:.0%}"
        return None
