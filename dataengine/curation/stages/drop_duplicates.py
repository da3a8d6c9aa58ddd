"""Episodes that are in the corpus twice: uploaded again, or part of another dataset under another name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.curation.coverage import checked, unchecked
from dataengine.curation.episode_rows import EpisodeRows, Vectors
from dataengine.curation.ragged import Ragged
from dataengine.curation.stage import Measured, Survey
from dataengine.curation.stages import _duplicates, _neighbours
from dataengine.curation.stages._motion import BY_RANGE, REACH_M, active, posture, scales
from dataengine.episode import Kind

POINTS = 16
"""Instants at which two episodes are compared, evenly spaced from the first motion to the last."""
GRAIN_M = 0.00025
"""Resolution of a signature; sixteen bits then reach 8 m to either side."""
NEAR_M = 0.002
"""Distance in one number for which the bands are made."""
PROJECTIONS = 4
LEAST_M = 0.05
"""What moves less has no motion to recognise it by."""
LEAST_INSIDE = 4
"""Instants at which something must lie inside of its range: what stands at one end or the other of it, as a value does
that a sensor or a normaliser cuts off, is alike in different motions."""
MOST = np.iinfo(np.int16).max
SCALES = 1.1
"""Factor up to which two scales are one: a copy with its waiting cut off ranges a little otherwise."""
MESSAGE_M = "motions are {:.4f} m apart, allowed {:g}"
MESSAGE_SHARE = "motions differ by {:.1%} of how far values of unknown unit range in the episode, allowed {:.1%}"
SAYS = _duplicates.Wording(
    equal="states, actions and pictures are equal",
    only_equal=checked("byte for byte alone: no motion to compare"),
    only_near=checked("by motion alone: no checksum of all pictures"),
    neither=unchecked("no motion to compare, and no checksum of all pictures"),
)


@dataclass(frozen=True, kw_only=True)
class DropDuplicates:
    """Drop episodes that repeat the states and actions of another, whatever dataset either is in.

    Values of unknown unit are compared by how far they range. Copies then have one scale: the same for states and
    actions, and none at all within an embodiment of a dataset, whose unit is one. What else moves alike is reported.

    Duplicates weigh twice in a mixture, and one on each side of a split makes a test worthless. Idle ends do not count,
    so that a copy with its waiting cut off is still a copy. Where states, actions and pictures are equal byte for byte
    an episode is a copy however little moves. Of copies the one in split `train` stays, else that with the smallest id.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot",)
    columns: ClassVar[tuple[str, ...]] = ()
    signatures: ClassVar[Mapping[str, pa.DataType]] = MappingProxyType(
        {
            "motion": pa.list_(pa.int16()),
            "motion_bands": pa.list_(pa.int64()),
            "motion_content": pa.list_(pa.int64()),
            "motion_scales": pa.list_(pa.float64()),
        }
    )
    limits: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"max_distance_m": "motion_distance_m", "max_distance_share": "motion_distance_share"}
    )

    max_distance_m: float = 0.002
    """Root mean square distance up to which two motions are one; a radian counts as 0.3 m, an opening as 0.1 m."""
    max_distance_share: float = 0.01
    """The same where a unit is unknown, as a share of how far such values range in an episode; that range counts as 0.2
    m beside values of known unit."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Where everything is and is told to be at 16 instants, and the bands of that; empty where nothing moves.

        And a hash of all that the episode holds, and scales of what has no known unit: a state's and an action's by
        turns, NaN where one has none.
        """
        motion: list[Any] = [[]] * len(rows)
        bands: list[Any] = [[]] * len(rows)
        sizes: list[Any] = [[]] * len(rows)
        for vectors in rows.vectors:
            signature, moving = _signatures(vectors)
            rounded = np.round(signature / GRAIN_M)
            moving &= np.abs(rounded).max(axis=1, initial=0) <= MOST  # what is cut off is alike
            grains = rounded[moving].astype(np.int16)
            all_bands = _neighbours.bands(grains * GRAIN_M, NEAR_M, PROJECTIONS, _meaning(vectors))
            for row, one, its_bands in zip(vectors.rows[moving], grains, all_bands, strict=True):
                motion[row], bands[row] = one, its_bands
            for row, scale in zip(vectors.rows, _scales(vectors), strict=True):
                sizes[row] = scale
        contents = rows.contents()
        return {"motion": motion, "motion_bands": bands, "motion_content": contents, "motion_scales": sizes}

    def survey(self, episodes: Measured) -> Survey:
        """Find the episodes that equal another, then those that lie near one that stays."""
        scales_of = episodes.column("motion_scales")
        measures = (
            _duplicates.Measure("motion_distance_m", _to_metres, self.max_distance_m, MESSAGE_M),
            _duplicates.Measure("motion_distance_share", _to_share, self.max_distance_share, MESSAGE_SHARE, BY_RANGE),
        )
        which = (scales_of.value_lengths().fill_null(0).to_numpy(zero_copy_only=False) > 0).astype(np.int64)
        survey, odd = _duplicates.find(
            episodes, "motion", SAYS, measures, which, lambda pairs: _scaled_alike(episodes, pairs)
        )
        return replace(survey, notes=_notes(episodes, odd))


def _to_metres(dims: int) -> float:
    return float(GRAIN_M * np.sqrt(dims / POINTS))


def _to_share(dims: int) -> float:
    return _to_metres(dims) / REACH_M


def _scales(vectors: Vectors) -> NDArray[np.float64]:
    """(e, 2 k) scales of k parts of a posture whose unit is unknown, of the state and of the action by turns."""
    given = ((vectors.state, vectors.state_layout), (vectors.action, vectors.action_layout))
    both = [scales(v, layout) if v is not None else {} for v, layout in given]
    ranges = np.full((len(vectors.rows), len(names := sorted({*both[0], *both[1]})), 2), np.nan)
    for side, parts in enumerate(both):
        for name, widest in parts.items():
            ranges[:, names.index(name), side] = np.where(widest > 0, widest, np.nan)
    return ranges.reshape(len(vectors.rows), -1)


def _scaled_alike(episodes: Measured, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(p,) whether pairs of rows (p, 2) differ by one scale in states and actions, and by none where the unit is one.

    A part of an action that the state does not have has no other scale to go by than its own.
    """
    if not len(pairs):
        return np.zeros(0, bool)
    scales = _neighbours.as_matrix(episodes.column("motion_scales", pairs.reshape(-1))).reshape(len(pairs), 2, -1, 2)
    factors = np.log(scales[:, 0]) - np.log(scales[:, 1])
    one_unit = [
        episodes.datasets[a] == episodes.datasets[b] and episodes.embodiments[a] == episodes.embodiments[b]
        for a, b in pairs.tolist()
    ]
    expected = np.where(np.array(one_unit)[:, None], 0.0, np.nan_to_num(factors[..., 0]))
    off = np.nan_to_num(np.abs(factors - expected[..., None]))
    return off.max(axis=(1, 2), initial=0.0) <= np.log(SCALES)


def _notes(episodes: Measured, odd: Mapping[int, int]) -> tuple[str, ...]:
    """Tell of episodes that would be copies if a scale did not matter."""
    if not odd:
        return ()
    some = sorted(odd, key=lambda row: episodes.episode_ids[row])[0]
    first, other = (f"{episodes.episode_ids[row]} of {episodes.datasets[row]}" for row in (some, odd[some]))
    return (
        f"{len(odd):,} episodes of unknown unit move as another one does and stay, as states and actions have not the "
        f"same scale in both, such as {first} and {other}",
    )


def _meaning(vectors: Vectors) -> str:
    """Say what the numbers of a signature are: only such as mean the same are compared."""
    layouts = (vectors.state_layout, vectors.action_layout)
    return " ".join(f"{each.encoding} {each.groups} {np.isfinite(each.factors).tolist()}" for each in layouts)


def _signatures(vectors: Vectors) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(e, POINTS * p) what is where at evenly spaced instants, and (e,) whether enough moves to tell it by."""
    given = ((vectors.state, vectors.state_layout), (vectors.action, vectors.action_layout))
    both = [v.of(posture(v, layout)) for v, layout in given if v is not None]
    lengths = both[0].lengths
    ends = active(vectors)
    first, last = (np.zeros(len(lengths)), lengths - 1.0) if ends is None else ends
    first, last = np.nan_to_num(first), np.where(np.isnan(last), lengths - 1.0, last)
    share = np.linspace(0, 1, POINTS)
    instants = np.clip(first, 0, last)[:, None] * (1 - share) + last[:, None] * share
    parts = [_at(v, np.clip(instants, 0, lengths[:, None] - 1.0)) for v in both]
    # At whole steps: between two of them everything would lie inside.
    seen = both[0].values[both[0].starts[:-1, None] + np.clip(np.round(instants), 0, lengths[:, None] - 1).astype(int)]
    low, high = seen.min(axis=1, keepdims=True), seen.max(axis=1, keepdims=True)
    inside = ((seen > low) & (seen < high)).sum(axis=1).max(axis=1)
    moving = (np.ptp(parts[0], axis=1).max(axis=1) >= LEAST_M) & (inside >= LEAST_INSIDE)
    return np.concatenate([part.reshape(len(lengths), -1) for part in parts], axis=1), moving


def _at(vector: Ragged, instants: NDArray[np.float64]) -> NDArray[np.float32]:
    """(e, k, p) values at fractional steps (e, k), linearly between neighbours."""
    below = instants.astype(np.int64)
    rows = vector.starts[:-1, None] + below
    above = np.minimum(rows + 1, vector.starts[1:, None] - 1)
    weight = (instants - below)[..., None]
    return (vector.values[rows] * (1 - weight) + vector.values[above] * weight).astype(np.float32)
