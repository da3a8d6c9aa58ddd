"""Where a robot's hands are and how far anything has moved, for the stages that judge motion."""

import numpy as np
from numpy.typing import NDArray

from dataengine.episode_rows import Vectors
from dataengine.ragged import Ragged

ARM_WIDTH = 7
"""Values of one arm in a canonical vector `[x y z roll pitch yaw gripper]`."""
RADIAN_M = 0.3
"""Metres that a radian counts for: a hand's breadth at the end of a forearm."""
OPENING_M = 0.1
"""Metres that a gripper's full opening counts for: about its stroke."""
MOVED_M = 0.005
"""From this distance on something has moved: several times the noise of an arm's encoders."""


def arms(vector: Ragged | None, encoding: str, wanted: tuple[str, ...]) -> int:
    """Count the arms of a canonical vector of one of the wanted encodings; 0 where it is none."""
    if vector is None or encoding not in wanted or vector.values.shape[1] % ARM_WIDTH:
        return 0
    return vector.values.shape[1] // ARM_WIDTH


def hand_positions(vectors: Vectors) -> Ragged | None:
    """(n, hands, 3) metres; None where the state does not say, as with joint angles or no state at all."""
    if vectors.state is None or not arms(vectors.state, vectors.state_encoding, ("eef_pose",)):
        return None
    if "hands" not in vectors.shared:
        values = vectors.state.values
        hands = values.reshape(len(values), -1, ARM_WIDTH)[..., :3].astype(np.float64)
        vectors.shared["hands"] = vectors.state.of(hands)
    return vectors.shared["hands"]


def gripper_openings(vectors: Vectors) -> Ragged | None:
    """(n, hands), 0 closed to 1 open; None where the state does not say."""
    if vectors.state is None or vectors.state.values.shape[1] % ARM_WIDTH:
        return None
    return vectors.state.of(vectors.state.values[:, ARM_WIDTH - 1 :: ARM_WIDTH].astype(np.float64))


def posture(vector: Ragged, encoding: str) -> NDArray[np.float32]:
    """(n, p) where everything is, as if in metres: equal distances matter equally, and angles do not wrap."""
    values = vector.values
    if not arms(vector, encoding, ("eef_pose", "eef_delta", "eef_velocity")):
        return (values * (RADIAN_M if encoding.startswith("joint") else 1.0)).astype(np.float32)
    by_arm = values.reshape(len(values), -1, ARM_WIDTH)
    angles = by_arm[..., 3:6]
    turned = [np.sin(angles), np.cos(angles)] if encoding == "eef_pose" else [angles]
    parts = [by_arm[..., :3], *(RADIAN_M * part for part in turned), OPENING_M * by_arm[..., 6:]]
    return np.concatenate(parts, axis=-1).reshape(len(values), -1).astype(np.float32)


def whereabouts(vectors: Vectors) -> Ragged | None:
    """(n, p) posture of a state that says where the robot is; None for velocities, deltas and no state at all."""
    if vectors.state is None or vectors.state_encoding not in ("eef_pose", "joint_position"):
        return None
    if "whereabouts" not in vectors.shared:
        vectors.shared["whereabouts"] = vectors.state.of(posture(vectors.state, vectors.state_encoding))
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


def _crossing(distance: Ragged) -> NDArray[np.float64]:
    """(e,) fractional step at which a distance that starts at 0 first comes to MOVED_M; NaN if it never does."""
    step = distance.of(distance.values >= MOVED_M).first_true()
    moved = step < distance.lengths
    place = np.where(moved, distance.starts[:-1] + step, distance.starts[:-1] + 1)
    place = np.minimum(place, len(distance.values) - 1)
    after, before = (
        distance.values[place].astype(np.float64),
        distance.values[np.maximum(place - 1, 0)].astype(np.float64),
    )
    share = (MOVED_M - before) / np.maximum(after - before, 1e-12)
    return np.where(moved, step - 1 + share, np.nan)
