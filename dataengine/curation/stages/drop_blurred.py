"""Clips out of focus, smeared by motion, or blown up from far fewer pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dataengine.curation.coverage import CHECKED, Coverage, Seen, unchecked
from dataengine.curation.film import Film
from dataengine.curation.stage import Quality
from dataengine.episode import Kind

NUM_FRAMES = 6
"""Frames looked at, evenly spaced."""
WINDOW = 9
"""Pixels that a picture is averaged over to see what that changes."""
LEAST_DETAIL = 0.5
"""Mean change of brightness (0 to 255) between neighbouring pixels below which a picture has no edges to check."""


@dataclass(frozen=True, kw_only=True)
class DropBlurred:
    """Drop clips that are blurred throughout.

    Checked as Crete and others (2007) do: a sharp picture loses most of its changes between neighbours when it is
    averaged, a blurred one hardly any. What is shown does not matter, and a single smeared frame does not either.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("human",)
    columns: ClassVar[tuple[str, ...]] = ("blur",)
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({"max_blur": "blur"})

    max_blur: float = 0.75
    """Largest blur, 0 for sharp to 1 for nothing left to lose."""

    def look(self, film: Film) -> Mapping[str, Any]:
        """Blur of the middle frame in the order of blur; NaN where pictures have no edges."""
        blurs = [_blur(picture.astype(np.float32)) for picture in film.full(film.evenly(NUM_FRAMES))]
        known = [blur for blur in blurs if np.isfinite(blur)]
        return {"blur": float(np.median(known)) if known else np.nan}

    def coverage(self, seen: Seen) -> Coverage:
        """Tell clips whose pictures have no edges that could be blurred."""
        return CHECKED if "blur" in seen.known else unchecked("no pictures with edges to check by")

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        if quality["blur"] > self.max_blur:
            return f"the pictures are blurred ({quality['blur']:.2f} of 1), allowed {self.max_blur:g}"
        return None


def _blur(picture: NDArray[np.float32]) -> float:
    """Blur of the worse direction."""
    if min(picture.shape) <= 2 * WINDOW or np.abs(np.diff(picture, axis=1)).mean() < LEAST_DETAIL:
        return float("nan")
    return max(_blur_across(picture), _blur_across(picture.T))


def _blur_across(picture: NDArray[np.float32]) -> float:
    sums = np.cumsum(picture, axis=1)
    averaged = (sums[:, WINDOW:] - sums[:, :-WINDOW]) / WINDOW
    changes = np.abs(np.diff(picture, axis=1))[:, WINDOW // 2 + 1 :][:, : averaged.shape[1] - 1]
    lost = np.maximum(changes - np.abs(np.diff(averaged, axis=1)), 0)
    return float(1 - lost.sum() / max(changes.sum(), 1e-6))
