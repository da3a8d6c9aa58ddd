"""Clips that are in the corpus twice: cut again by a second annotator, re-encoded, published under another name."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from dataengine.curation.coverage import checked, unchecked
from dataengine.curation.film import Film
from dataengine.curation.stage import Measured, Survey
from dataengine.curation.stages import _duplicates, _neighbours
from dataengine.digest import stable_id
from dataengine.episode import Kind

NUM_FRAMES = 8
"""Frames that are compared, evenly spaced; each by 8 x 8 cells."""
CELLS = 8
GRAIN = 1 / 512
"""Resolution of a signature, in units of the clip's own motion."""
NEAR = 0.15
"""Distance for which the bands are made."""
PROJECTIONS = 12
LEAST_MOTION = 0.5
"""Root mean square change of brightness (0 to 255) below which a clip has no motion to recognise it by."""
MOST = np.iinfo(np.int16).max
MESSAGE = "pictures differ by {:.3f}, allowed {:g}"
SAYS = _duplicates.Wording(
    equal="all pictures are equal",
    only_equal=checked("byte for byte alone: fewer than 8 pictures, or nothing that moves in them"),
    only_near=checked("by what moves alone: no checksum of all pictures"),
    neither=unchecked("no pictures with a checksum or with motion"),
)


@dataclass(frozen=True, kw_only=True)
class DropDuplicateClips:
    """Drop clips that show the same motion as another, whatever dataset either is in.

    Compared is what changes over a clip, in units of how much changes: clips before one and the same background are
    as far apart as any two, while another codec, size or brightness leaves a copy a copy. A clip cut at other times is
    not found. Where all pictures are equal byte for byte a clip is a copy however little moves. Of copies the one in
    split `train` stays, else that with the smallest id.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("human",)
    columns: ClassVar[tuple[str, ...]] = ()
    signatures: ClassVar[Mapping[str, pa.DataType]] = MappingProxyType(
        {"scene": pa.list_(pa.int16()), "scene_bands": pa.list_(pa.int64()), "scene_content": pa.list_(pa.int64())}
    )
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({"max_distance": "scene_distance"})

    max_distance: float = 0.2
    """Root mean square difference up to which two clips are one; 0 for equal ones, 1.4 for unrelated ones."""

    def look(self, film: Film) -> Mapping[str, Any]:
        """Change of 8 x 8 cells in 8 frames, and the bands of that; empty where nothing moves. And a hash of it all."""
        still = {"scene": [], "scene_bands": [], "scene_content": _content(film)}
        cells = film.cells(film.evenly(NUM_FRAMES), CELLS)
        if len(cells) < NUM_FRAMES:
            return still
        change = cells - cells.mean(axis=0)
        motion = float(np.sqrt((change**2).mean()))
        if motion < LEAST_MOTION:
            return still
        grains = np.clip(np.round(change.reshape(1, -1) / motion / GRAIN), -MOST, MOST).astype(np.int16)
        bands = _neighbours.bands(grains * GRAIN, NEAR, PROJECTIONS, "cells")
        return still | {"scene": grains[0], "scene_bands": bands[0]}

    def survey(self, episodes: Measured) -> Survey:
        """Find the clips that equal another, then those that are near one that stays."""
        measure = _duplicates.Measure("scene_distance", lambda _: GRAIN, self.max_distance, MESSAGE)
        survey, _ = _duplicates.find(episodes, "scene", SAYS, (measure,))
        return survey


def _content(film: Film) -> list[int]:
    return [int(stable_id(film.content), 16) >> 1] if film.content else []
