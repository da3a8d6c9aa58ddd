"""Maps canonical vectors to about [-1, 1] and back, by the statistics of each embodiment in each dataset.

One embodiment is driven in other ways, and at other rates, in other datasets: a common move in one lies far outside
another's quantiles. So a dataset's own statistics count; the embodiment's, over all its datasets, where there
are no others.

The 1 % to 99 % quantiles go to [-1, 1] (villa-X; raw data has outliers that would squeeze everything else). Gripper
openings keep their meaning instead: 0 closed is -1, 1 open is +1. Which dimensions they are is part of the statistics.
A dimension that leaves one value so rarely that its quantiles coincide goes by its extremes. One that never changes
carries nothing: it becomes 0, and inverts to its constant.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.windows.stats import EmbodimentStatistics, Statistics

Column = Literal["state", "action"]

CLIP: Final[Mapping[Column, float]] = {"state": 1.5, "action": 1.0}
"""Normalised values end here. States may exceed the quantiles a bit: a rare pose is still told from a common one."""

LEAST_RANGE: Final = 1e-6
"""Values closer than this are one constant: a micrometre, a microradian."""

ROUNDING: Final = 4 * float(np.finfo(np.float32).eps)
"""So are values closer than this share of their size: float32 holds no more of them."""


@dataclass(frozen=True)
class _Scale:
    """normalised = (x - centre) / half, or 0 where the dimension is constant."""

    centre: NDArray[np.float64]
    half: NDArray[np.float64]
    varies: NDArray[np.bool_]

    @classmethod
    def of(cls, stats: Statistics) -> "_Scale":
        least = np.maximum(LEAST_RANGE, ROUNDING * np.maximum(np.abs(stats.min), np.abs(stats.max)))
        common = stats.q99 - stats.q01 > least
        low, high = np.where(common, stats.q01, stats.min), np.where(common, stats.q99, stats.max)
        varies = high - low > least
        # The mean of extremes that are one constant up to rounding is none of its values.
        centre, half = np.where(varies, (low + high) / 2, stats.q01), (high - low) / 2
        for i in stats.grippers:
            centre[i], half[i], varies[i] = 0.5, 0.5, True
        return cls(centre=centre, half=np.where(varies, half, 1.0), varies=varies)


class Normalizer:
    """Normalises the states and actions of every embodiment it has statistics for, by dataset where it has those.

    Inside the quantiles `invert` undoes `normalize`, up to float32 rounding. Both work on any array whose last axis
    holds the vector, and give float32. Without a dataset, or with one that is not there, the embodiment's statistics
    over all its datasets count.
    """

    def __init__(self, stats: Mapping[str, EmbodimentStatistics]) -> None:
        self.stats = dict(stats)
        self._scales: dict[tuple[str, str | None, Column], _Scale] = {}
        for name, body in self.stats.items():
            for dataset, one in ((None, body), *body.by_dataset.items()):
                self._scales[name, dataset, "state"] = _Scale.of(one.state)
                self._scales[name, dataset, "action"] = _Scale.of(one.action)

    def of(self, embodiment: str, dataset: str | None = None) -> EmbodimentStatistics:
        """Give the statistics that count for an embodiment in a dataset."""
        body = self.stats.get(embodiment)
        if body is None:
            raise DataEngineError(
                f"no statistics for embodiment '{embodiment}', only for {', '.join(sorted(self.stats)) or 'none'}; "
                f"run `villa stats` on the corpus that holds it"
            )
        return body.by_dataset.get(dataset, body) if dataset is not None else body

    def _scale(self, embodiment: str, column: Column, dataset: str | None, dim: int | None = None) -> _Scale:
        known = dataset if dataset in self.of(embodiment).by_dataset else None
        scale = self._scales[embodiment, known, column]
        if dim is not None and dim != len(scale.centre):
            raise DataEngineError(
                f"{column} of embodiment '{embodiment}' has {dim} values, its statistics have {len(scale.centre)}; "
                f"run `villa stats` again"
            )
        return scale

    def dim(self, embodiment: str, column: Column, dataset: str | None = None) -> int:
        """Width of the vector; 0 where the embodiment, or its episodes in this dataset, do not have it."""
        return len(self._scale(embodiment, column, dataset).centre)

    def varies(self, embodiment: str, column: Column, dataset: str | None = None) -> NDArray[np.bool_]:
        """(d,) False for dimensions that are constant in the data, such as the rotation of an arm that cannot turn."""
        return self._scale(embodiment, column, dataset).varies.copy()

    def at_rest(
        self, embodiment: str, action: NDArray[np.float32], dataset: str | None = None, *, middle: bool = False
    ) -> NDArray[np.float32] | None:
        """Turn an action (a,) into that of standing still after it: no change, no speed, the same pose and gripper.

        With `middle`, changes and speeds become those that normalise to 0, which is where the quantiles have their
        middle. None where the statistics do not say which of its numbers are changes.
        """
        moves = self.of(embodiment, dataset).action.moves
        if moves is None:
            return None
        still, at = action.copy(), list(moves)
        still[at] = self._scale(embodiment, "action", dataset).centre[at] if middle else 0.0
        return still

    def normalize(
        self, embodiment: str, column: Column, x: NDArray[np.floating], dataset: str | None = None
    ) -> NDArray[np.float32]:
        """Map (..., d) from house units to [-1, 1], clipped at `CLIP`."""
        scale = self._scale(embodiment, column, dataset, x.shape[-1])
        # float64 inside: a dimension that lies far from zero would lose its small range in float32.
        y = np.where(scale.varies, (x.astype(np.float64) - scale.centre) / scale.half, 0.0)
        return np.clip(y, -CLIP[column], CLIP[column]).astype(np.float32)

    def invert(
        self, embodiment: str, column: Column, y: NDArray[np.floating], dataset: str | None = None
    ) -> NDArray[np.float32]:
        """Map (..., d) back to house units; values beyond the clip go on along the same line."""
        scale = self._scale(embodiment, column, dataset, y.shape[-1])
        x = np.where(scale.varies, y.astype(np.float64) * scale.half, 0.0) + scale.centre
        return x.astype(np.float32)


def pooled_over_datasets(stats: Mapping[str, EmbodimentStatistics]) -> dict[str, EmbodimentStatistics]:
    """Leave out what is known by dataset: every embodiment is then normalised by all of its datasets at once."""
    return {name: replace(one, by_dataset={}) for name, one in stats.items()}
