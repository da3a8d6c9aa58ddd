"""States that do not follow their actions: flipped grippers, wrong encodings, actions of another episode."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dataengine.conventions import wrap_angle
from dataengine.episode import Kind
from dataengine.episode_rows import EpisodeRows, Vectors
from dataengine.protocols import Quality
from dataengine.ragged import Ragged
from dataengine.stages import _following
from dataengine.stages._motion import ARM_WIDTH, arms

DELTAS = ("eef_delta", "eef_velocity")
LEAST_WAY_M = 0.03
"""A hand that goes less far says nothing about its commands."""
LEAST_TURN = 0.2
"""The same for angles, in radians."""
LEAST_OPENING = 0.2
"""The same for a gripper, as a share of its range."""


@dataclass(frozen=True, kw_only=True)
class DropMismatch:
    """Drop episodes whose state contradicts their action, given what the two are said to be.

    Policies and forward models learn that relation. Where a gripper's sign is wrong, a pose is called a delta, or an
    action belongs to another time, they learn a lie. Judged are end effectors only; joints pass.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot",)
    columns: ClassVar[tuple[str, ...]] = (
        *("delta_follow", "delta_gain", "delta_target_likeness"),
        *("target_follow", "turn_follow", "gripper_follow"),
    )
    limits: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "min_gripper_follow": "gripper_follow",
            "max_target_likeness": "delta_target_likeness",
            "min_delta_follow": "delta_follow",
            "min_turn_follow": "turn_follow",
            "min_target_follow": "target_follow",
        }
    )

    min_gripper_follow: float = -0.3
    """Least agreement of commanded and measured gripper, -1 opposite to 1 together."""
    max_target_likeness: float = 0.8
    """Deltas that agree so well with the positions that follow are targets."""
    min_delta_follow: float = 0.1
    """Least cosine of summed deltas with the way that the hand made."""
    min_turn_follow: float = -1.0
    """The same for roll, pitch and yaw; -1 for any, as publishers mean many things by a rotation."""
    min_target_follow: float = 0.3
    """Least concordance of target poses with the positions that follow."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Agreement for deltas, targets, turns and grippers, of the arm that agrees least; NaN without meaning."""
        found = {name: rows.nan() for name in self.columns}
        for vectors in rows.vectors:
            count = arms(vectors.state, vectors.state_encoding, ("eef_pose",))
            if count and count == arms(vectors.action, vectors.action_encoding, ("eef_pose", *DELTAS)):
                for arm in range(count):
                    for name, values in _arm(vectors, arm).items():
                        worse = np.fmax if name == "delta_target_likeness" else np.fmin
                        found[name][vectors.rows] = worse(found[name][vectors.rows], values)
        return found

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        if quality["gripper_follow"] < self.min_gripper_follow:
            agreement = f"agreement {quality['gripper_follow']:.2f}, need {self.min_gripper_follow:g}"
            return f"the gripper moves against its command ({agreement}): is its sign flipped?"
        if quality["delta_target_likeness"] > self.max_target_likeness:
            likeness = f"concordance {quality['delta_target_likeness']:.2f}, allowed {self.max_target_likeness:g}"
            return f"its deltas look like target positions ({likeness}): is the encoding eef_pose?"
        for name, least, what in (
            ("delta_follow", self.min_delta_follow, "the hand does not go where its deltas point: cosine"),
            ("turn_follow", self.min_turn_follow, "the hand does not turn as its deltas say: cosine"),
            ("target_follow", self.min_target_follow, "the hand does not come to its targets: concordance"),
        ):
            if quality[name] < least:
                return f"{what} {quality[name]:.2f}, need {least:g}"
        return None


def _arm(vectors: Vectors, arm: int) -> dict[str, Any]:
    """Every number of one arm."""
    state, action = vectors.state, vectors.action
    assert state is not None
    assert action is not None
    first = arm * ARM_WIDTH

    def part(vector: Ragged, start: int, stop: int) -> Ragged:
        return vector.of(vector.values[:, first + start : first + stop])

    place, euler, opening = part(state, 0, 3), part(state, 3, 6), state.of(state.values[:, first + 6])
    ranges = _ranges(place, euler, opening)
    command = action.of(action.values[:, first + 6])
    found = {"gripper_follow": _where(ranges[2] > LEAST_OPENING, _following.gripper_agreement(opening, command))}
    moving, concordance = ranges[0] > LEAST_WAY_M, _following.target_agreement(place, part(action, 0, 3))
    if vectors.action_encoding not in DELTAS:
        return found | {"target_follow": _where(moving, concordance)}
    follow, gain = _following.delta_agreement(place, euler, part(action, 0, 3), vectors.control_hz)
    turn = _following.turn_agreement(euler, part(action, 3, 6), vectors.control_hz)
    return found | {
        "delta_follow": _where(moving, follow),
        "delta_gain": _where(moving, gain),
        "delta_target_likeness": _where(moving, concordance),
        "turn_follow": _where(ranges[1] > LEAST_TURN, turn),
    }


def _ranges(place: Ragged, euler: Ragged, opening: Ragged) -> tuple[Any, Any, Any]:
    """(e,) how far a hand goes in metres, how far it turns in radians, and how wide its gripper's range is."""
    away = wrap_angle(euler.values - euler.spread(euler.first()))
    turn = euler.of(np.abs(away).max(axis=1)).max()
    return (place.max() - place.min()).max(axis=1), turn, opening.max() - opening.min()


def _where(meant: Any, values: Any) -> Any:
    return np.where(meant, values, np.nan)
