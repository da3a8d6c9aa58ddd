"""Where a robot's hands are and how far anything has moved, for the stages that check motion.

Numbers whose unit is known are taken in house units. Those of unknown unit stay in their own, and what must be compared
with metres is measured by how far such values range in the episode: `REACH_M` stands for that range.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataengine.curation.coverage import Seen, checked
from dataengine.curation.episode_rows import Vectors
from dataengine.curation.ragged import Ragged
from dataengine.vector_layout import VectorLayout

RADIAN_M = 0.3
"""Metres that a radian counts for: a hand's breadth at the end of a forearm."""
OPENING_M = 0.1
"""Metres that a gripper's full opening counts for: about its stroke."""
REACH_M = 0.2
"""Metres that the range of values of unknown unit counts for: what a hand usually reaches over in an attempt."""
MOVED_M = 0.005
"""From this distance on something has moved: several times the noise of an arm's encoders."""
POSITIONS = ("eef_pose", "joint_position")
"""Encodings that say where a robot is."""
BY_RANGE = checked("by how far values range in the episode where a unit is unknown")
ENDS = 0.05
"""Share of an episode at either end of the range of a value that may be a fault, and does not widen that range."""


def hands(vectors: Vectors) -> list[Ragged]:
    """Position (n, 3), or (n, 2) in a plane, of each hand, in metres or its own unit; none where no pose is given."""
    layout = vectors.state_layout
    if vectors.state is None or layout.encoding != "eef_pose":
        return []
    if "hands" not in vectors.shared:
        positions = [_scaled(vectors.state, layout, position) for position in layout.positions]
        vectors.shared["hands"] = [vectors.state.of(values) for values in positions]
    return vectors.shared["hands"]


def no_position(seen: Seen) -> str:
    """Say why an episode tells nothing of where a hand is."""
    if not seen.state:
        return "no state"
    if seen.state != "eef_pose":
        return f"a state of {seen.state}, which gives no position of a hand"
    return "a state without the position of a hand"


def are_metres(vectors: Vectors) -> bool:
    """Tell whether the unit of the hands' positions is known."""
    return vectors.state_layout.is_known(vectors.state_layout.position)


def reach(vectors: Vectors) -> NDArray[np.float64] | None:
    """(e,) farthest that a hand gets from where it started, in the unit of the hands; None where no pose is given."""
    if not hands(vectors):
        return None
    if "reach" not in vectors.shared:
        off = [np.linalg.norm(hand.values - hand.spread(hand.first()), axis=1) for hand in hands(vectors)]
        away = [hand.of(far).max() for hand, far in zip(hands(vectors), off, strict=True)]
        vectors.shared["reach"] = np.max(away, axis=0)
    return vectors.shared["reach"]


def gripper_openings(vectors: Vectors) -> tuple[Ragged, bool] | None:
    """(n, grippers) openings, measured or else as commanded, and whether 0 is closed and 1 open; None without any."""
    for vector, layout in ((vectors.state, vectors.state_layout), (vectors.action, vectors.action_layout)):
        if vector is not None and layout.grippers:
            known = layout.is_known(layout.grippers)
            return vector.of(_scaled(vector, layout, layout.grippers)), known
    return None


def posture(vector: Ragged, layout: VectorLayout) -> NDArray[np.float32]:
    """(n, p) where everything is, as if in metres: equal distances matter equally, and known angles do not wrap.

    Angles of a pose whose unit is unknown are left out: nobody knows where they wrap.
    """
    parts = [_weighted(vector, layout, *part) for part in _parts(layout).values()]
    if layout.angles and layout.is_known(layout.angles):
        angles = _scaled(vector, layout, layout.angles)
        parts += [RADIAN_M * np.sin(angles), RADIAN_M * np.cos(angles)]
    return np.concatenate(parts, axis=1).astype(np.float32) if parts else np.zeros((len(vector.values), 1), np.float32)


def scales(vector: Ragged, layout: VectorLayout) -> dict[str, NDArray[np.float64]]:
    """(e,) how far what counts by its range in a posture does range, by name; empty where all units are known.

    Beside it the angles of a pose, if their unit is unknown: a posture leaves them out, but an action may turn by them.
    """
    unknown = {name: indices for name, (indices, *_) in _parts(layout).items() if not layout.is_known(indices)}
    if unknown and layout.angles and not layout.is_known(layout.angles):
        unknown["joints"] = layout.angles
    return {name: ranges(vector.of(_scaled(vector, layout, indices))).max(axis=1) for name, indices in unknown.items()}


def _parts(layout: VectorLayout) -> dict[str, tuple[tuple[int, ...], float, float]]:
    """Name what a posture consists of but for the angles of a pose: indices, weight of a unit, weight of a range."""
    joints = layout.rotation + layout.joints if layout.encoding != "eef_pose" else layout.joints
    named = {
        "positions": (layout.position, 1.0, REACH_M),
        "joints": (joints, RADIAN_M, REACH_M),
        "grippers": (layout.grippers, OPENING_M, OPENING_M),
    }
    # Others may each have a unit of their own.
    others = {f"other {k}": ((i,), _weight(layout.units[i]), REACH_M) for k, i in enumerate(layout.others)}
    return {name: part for name, part in (named | others).items() if part[0]}


def whereabouts(vectors: Vectors) -> Ragged | None:
    """(n, p) posture of a state that says where the robot is; None for velocities, deltas and no state at all."""
    if vectors.state is None or vectors.state_layout.encoding not in POSITIONS:
        return None
    if "whereabouts" not in vectors.shared:
        vectors.shared["whereabouts"] = vectors.state.of(posture(vectors.state, vectors.state_layout))
    return vectors.shared["whereabouts"]


def active(vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(e,) fractional steps at which each episode has first left its start, and has last not been at its end.

    Both are NaN where nothing ever moves. The instants lie between steps, so that noise shifts them little.
    """
    where = whereabouts(vectors)
    if where is None:
        return None
    if "active" not in vectors.shared:
        off_start = np.sqrt(((where.values - where.spread(where.first())) ** 2).sum(axis=1))
        off_end = np.sqrt(((where.values - where.spread(where.last())) ** 2).sum(axis=1))
        backwards = Ragged(off_end[::-1], where.starts[-1] - where.starts[::-1])
        head = _crossing(where.of(off_start))
        tail = where.lengths - 1 - _crossing(backwards)[::-1]
        vectors.shared["active"] = (head, tail)
    return vectors.shared["active"]


def ranges(values: Ragged) -> NDArray[np.float64]:
    """(e, d) how far values (n, d) range, but for the `ENDS`; all the way where they hardly ever leave one value."""
    common = [column.quantile(1 - ENDS) - column.quantile(ENDS) for column in map(values.of, values.values.T)]
    return np.where(np.max(common, axis=0) > 0, common, (values.max() - values.min()).T).T


def _scaled(vector: Ragged, layout: VectorLayout, indices: Sequence[int]) -> NDArray[np.float64]:
    """(n, k) some values, in house units where all their units are known."""
    known = layout.is_known(indices)
    values = layout.in_house_units(vector.values, indices) if known else vector.values[:, list(indices)]
    return values.astype(np.float64)


def _weighted(
    vector: Ragged, layout: VectorLayout, indices: Sequence[int], weight: float, range_m: float
) -> NDArray[np.float64]:
    """(n, k) some values as if in metres: by a weight of their unit, or by how far they range in the episode."""
    values = _scaled(vector, layout, indices)
    if layout.is_known(indices):
        return weight * values
    widest = ranges(vector.of(values)).max(axis=1)
    return values * vector.spread(np.where(widest > 0, range_m / np.where(widest > 0, widest, 1.0), 0.0))[:, None]


def _weight(unit: str) -> float:
    return RADIAN_M if unit in ("radians", "degrees") else OPENING_M if unit in ("opening", "percent_open") else 1.0


def _crossing(distance: Ragged) -> NDArray[np.float64]:
    """(e,) fractional step at which a distance that starts at 0 first comes to MOVED_M; NaN if it never does."""
    step = distance.of(distance.values >= MOVED_M).first_true()
    moved = step < distance.lengths
    row = np.where(moved, distance.starts[:-1] + step, distance.starts[:-1] + 1)
    row = np.minimum(row, len(distance.values) - 1)
    after, before = (
        distance.values[row].astype(np.float64),
        distance.values[np.maximum(row - 1, 0)].astype(np.float64),
    )
    share = (MOVED_M - before) / np.maximum(after - before, 1e-12)
    return np.where(moved, step - 1 + share, np.nan)
