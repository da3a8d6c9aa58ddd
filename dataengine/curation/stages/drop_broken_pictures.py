"""Pictures that do not decode, wherever in an episode they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dataengine.curation.coverage import CHECKED, Coverage, Seen, unchecked
from dataengine.curation.film import Film
from dataengine.curation.stage import Quality
from dataengine.episode import Kind


@dataclass(frozen=True, kw_only=True)
class DropBrokenPictures:
    """Drop episodes with pictures that do not decode, in any camera.

    It decodes every picture, where other rules look at a few: some 0.3 ms each, once. Ingest refuses such pictures
    today, so this is for corpora that are older, or whose disk may be damaged. Training leaves such windows out.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot", "human")
    columns: ClassVar[tuple[str, ...]] = ("broken_pictures", "first_broken_picture")
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({"max_broken": "broken_pictures"})

    max_broken: int = 0
    """Most pictures that may be broken."""

    def look(self, film: Film) -> Mapping[str, Any]:
        """Count broken pictures, and say which is the first, -1 for none; NaN without a camera."""
        if not film.num_frames:
            return dict.fromkeys(self.columns, np.nan)
        broken = [i for one in (film, *film.others.values()) for i in one.broken()]
        return {"broken_pictures": float(len(broken)), "first_broken_picture": float(min(broken, default=-1))}

    def coverage(self, seen: Seen) -> Coverage:
        """Tell episodes without pictures."""
        return CHECKED if "broken_pictures" in seen.known else unchecked("no pictures")

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        if quality["broken_pictures"] > self.max_broken:
            first = f"the first is frame {quality['first_broken_picture']:.0f}"
            return f"{quality['broken_pictures']:.0f} pictures do not decode, {first}; allowed {self.max_broken}"
        return None
