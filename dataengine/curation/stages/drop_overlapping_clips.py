"""Clips of one video that were labelled twice: by two annotators, or in two datasets over the same videos."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.curation.coverage import unchecked
from dataengine.curation.episode_rows import EpisodeRows
from dataengine.curation.stage import Measured, Survey
from dataengine.digest import stable_id
from dataengine.episode import Kind


@dataclass(frozen=True, kw_only=True)
class DropOverlappingClips:
    """Drop clips whose label lies where another label of the same video does.

    Ego4D's two annotators narrate the same videos, EgoHOD captions them again: the same second would count three times.
    Compared are ranges of labels, without context, by what two have in common over what both cover. Of such clips the
    one in split `train` stays, else that with the longest text, else that with the smallest id.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("human",)
    columns: ClassVar[tuple[str, ...]] = ("label_start", "label_end", "label_letters")
    signatures: ClassVar[Mapping[str, pa.DataType]] = MappingProxyType({"label_video": pa.list_(pa.int64())})
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({"max_overlap": "label_overlap"})

    max_overlap: float = 0.5
    """Share of the time that two labels cover together up to which they are two; 1 keeps all."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Range of the label, letters of the longest text, and which video; NaN and empty for others than clips."""
        cuts = rows.cuts
        letters = [max(map(len, texts), default=0) for texts in rows.instruction]
        return {
            "label_start": np.array([np.nan if cut is None else cut[1] for cut in cuts], float),
            "label_end": np.array([np.nan if cut is None else cut[2] for cut in cuts], float),
            "label_letters": np.array(letters, float),
            "label_video": [[] if cut is None else [int(stable_id(cut[0]), 16) >> 1] for cut in cuts],
        }

    def survey(self, episodes: Measured) -> Survey:
        """Go through the labels of each video in order of time."""
        starts, ends, letters = (
            np.asarray(episodes.column(name).to_numpy(zero_copy_only=False), float) for name in self.columns
        )
        videos: dict[int, list[int]] = {}
        coverage = {}
        for row, video in enumerate(episodes.column("label_video").to_pylist()):
            if video and np.isfinite([starts[row], ends[row]]).all():
                videos.setdefault(video[0], []).append(row)
            else:
                coverage[row] = unchecked("no clip of a longer video")
        overlap, objections = np.full(len(episodes), np.nan), {}
        for rows in videos.values():
            order = sorted(rows, key=lambda row: _worth(episodes, row, letters))
            for row, share, other in _repeated(order, starts, ends, self.max_overlap):
                overlap[row] = share
                if share > self.max_overlap:
                    objections[row] = (
                        f"{share:.0%} of its label and that of {episodes.episode_ids[other]} of "
                        f"{episodes.datasets[other]} is in both, allowed {self.max_overlap:.0%}"
                    )
        return Survey(numbers={"label_overlap": overlap}, objections=objections, coverage=coverage)


def _worth(episodes: Measured, row: int, letters: NDArray[np.float64]) -> tuple[bool, float, str]:
    """Order clips from the one that stays before all others."""
    return episodes.splits[row] != "train", -letters[row], episodes.episode_ids[row]


def _repeated(
    order: list[int], starts: NDArray[np.float64], ends: NDArray[np.float64], limit: float
) -> list[tuple[int, float, int]]:
    """Tell of each clip the largest overlap with one that stays, and which; those that stay come first in `order`."""
    kept = np.empty(0, np.int64)
    repeats = []
    for row in order:
        if len(kept):
            common = np.minimum(ends[kept], ends[row]) - np.maximum(starts[kept], starts[row])
            both = np.maximum(ends[kept], ends[row]) - np.minimum(starts[kept], starts[row])
            shares = np.clip(common, 0, None) / np.maximum(both, 1e-9)
            most = int(shares.argmax())
            repeats.append((row, float(shares[most]), int(kept[most])))
            if shares[most] > limit:
                continue
        else:
            repeats.append((row, 0.0, row))
        kept = np.append(kept, row)
    return repeats
