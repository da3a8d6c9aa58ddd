"""Cameras that stopped while the recording went on."""

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

NAME = "picture_change"
STOPPED = 1.5
"""Change below which a camera beside the main one is reported, also where it drops nothing."""

IS_FROZEN = "shows one picture throughout"


@dataclass(frozen=True, kw_only=True)
class DropFrozenCamera:
    """Drop episodes in which a camera shows one picture throughout.

    A frozen stream pairs real actions with a picture in which nothing happens: the worst of lies to an inverse
    dynamics model. Cameras beside the main one drop an episode only where a recipe asks for it; that one stands still
    in a tenth of a dataset or more is reported in any case.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot", "human")
    columns: ClassVar[tuple[str, ...]] = _pictures.columns(NAME)
    signatures: ClassVar[Mapping[str, pa.DataType]] = MappingProxyType({})
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({"min_change": NAME})

    min_change: float = 1.5
    """Least change of brightness (0 to 255) in some sixteenth by sixteenth of the picture, over the episode."""
    min_change_others: float = 0.0
    """The same of cameras beside the main one; 0 to keep the episode however dead they are."""

    def look(self, film: Film) -> Mapping[str, Any]:
        """Largest change of any cell against the first picture, of each camera; NaN without two pictures."""
        return _pictures.look(film, NAME, _change)

    def coverage(self, seen: Seen) -> Coverage:
        """Tell episodes without two pictures to compare."""
        return CHECKED if NAME in seen.known else unchecked("fewer than two pictures")

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        if quality[NAME] < self.min_change:
            return f"camera changes by {quality[NAME]:.2f} of 255 at most, need {self.min_change:g}"
        for slot in _pictures.OTHER_SLOTS:
            change = quality[f"{NAME}_{slot}"]
            if change < self.min_change_others:
                return f"camera {slot} changes by {change:.2f} of 255 at most, need {self.min_change_others:g}"
        return None

    def warning(self, quality: Quality) -> str | None:
        """Say which cameras beside the main one stand still throughout."""
        return _pictures.dead_in(quality, NAME, _is_frozen, IS_FROZEN)

    def survey(self, episodes: Measured) -> Survey:
        """Tell of cameras that stand still throughout a dataset."""
        notes = _pictures.dead(episodes, NAME, _is_frozen, IS_FROZEN)
        return Survey(numbers={}, objections={}, notes=tuple(notes))


def _is_frozen(change: ArrayLike) -> NDArray[np.bool_]:
    return np.asarray(change) < STOPPED


def _change(cells: NDArray[np.float32]) -> float:
    return float(np.abs(cells[1:] - cells[0]).max()) if len(cells) > 1 else np.nan
