"""Cameras that show darkness."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from dataengine.curation.coverage import CHECKED, Coverage, Seen, unchecked
from dataengine.curation.film import Film
from dataengine.curation.stage import Measured, Quality, Survey
from dataengine.curation.stages import _pictures
from dataengine.episode import Kind

NAME = "black_share"
BLACK = 12.0
"""Brightness (0 to 255) up to which a picture is black: a covered lens, a redacted span, a stream not yet started."""

IS_BLACK = "is black throughout"


@dataclass(frozen=True, kw_only=True)
class DropBlackFrames:
    """Drop episodes in which a camera is black for much of the time.

    Cameras beside the main one drop an episode only where a recipe asks for it; that one is black in a tenth of a
    dataset or more is reported in any case.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot", "human")
    columns: ClassVar[tuple[str, ...]] = _pictures.columns(NAME)
    signatures: ClassVar[Mapping[str, pa.DataType]] = MappingProxyType({})
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({"max_black_share": NAME})

    max_black_share: float = 0.3
    """Largest share of black pictures among those looked at."""
    max_black_share_others: float = 1.0
    """The same of cameras beside the main one; 1 to keep the episode however dark they are."""

    def look(self, film: Film) -> Mapping[str, Any]:
        """Share of pictures in which even the brightest cell is black, of each camera; NaN without one."""
        return _pictures.look(film, NAME, _black_share)

    def coverage(self, seen: Seen) -> Coverage:
        """Tell episodes without pictures."""
        return CHECKED if NAME in seen.known else unchecked("no pictures")

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        if quality[NAME] > self.max_black_share:
            return f"{quality[NAME]:.0%} of the pictures are black, allowed {self.max_black_share:.0%}"
        for slot in _pictures.OTHER_SLOTS:
            share, most = quality[f"{NAME}_{slot}"], self.max_black_share_others
            if share > most:
                return f"{share:.0%} of the pictures of camera {slot} are black, allowed {most:.0%}"
        return None

    def warning(self, quality: Quality) -> str | None:
        """Say which cameras beside the main one are black throughout."""
        return _pictures.dead_in(quality, NAME, _is_black, IS_BLACK)

    def survey(self, episodes: Measured) -> Survey:
        """Tell of cameras that are black throughout a dataset."""
        notes = _pictures.dead(episodes, NAME, _is_black, IS_BLACK)
        return Survey(numbers={}, objections={}, notes=tuple(notes))


def _is_black(share: ArrayLike) -> NDArray[np.bool_]:
    return np.asarray(share) >= 1.0


def _black_share(cells: NDArray[np.float32]) -> float:
    return float((cells.max(axis=(1, 2)) <= BLACK).mean()) if len(cells) else np.nan
