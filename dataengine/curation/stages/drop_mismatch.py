"""States that do not follow their actions: flipped grippers, wrong encodings, actions of another episode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dataengine.conventions import wrap_angle
from dataengine.curation.coverage import CHECKED, Coverage, Seen, checked, unchecked
from dataengine.curation.episode_rows import EpisodeRows, Vectors
from dataengine.curation.ragged import Ragged
from dataengine.curation.stage import Quality
from dataengine.curation.stages import _following
from dataengine.episode import Kind
from dataengine.vector_layout import Arm

DELTAS = ("eef_delta", "eef_velocity")
COMMANDS = ("eef_pose", *DELTAS)
"""Encodings of actions that are compared with a hand's pose."""
PARTS = MappingProxyType(
    {
        "delta_target_likeness": "whether deltas are positions",
        "target_follow": "targets",
        "turn_follow": "turns",
        "gripper_follow": "grippers",
    }
)
"""Numbers that mean something only where this moves, and can be compared."""
LEAST_WAY_M = 0.03
"""A hand that goes less far says nothing about its commands."""
LEAST_STEPS = 8
"""The same where the unit is unknown, in usual steps: noise goes nowhere."""
LEAST_TURN = 0.2
"""The same for angles, in radians."""
LEAST_OPENING = 0.2
"""The same for a gripper, as a share of its range."""


@dataclass(frozen=True, kw_only=True)
class DropMismatch:
    """Drop episodes whose state contradicts their action, given what the two are said to be.

    Policies and forward models learn that relation. Where a gripper's sign is wrong, a pose is called a delta, or an
    action belongs to another time, they learn a lie. Checked are end effectors only; joints pass. Where the unit
    of the state is unknown, only deltas that are positions are found.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot",)
    columns: ClassVar[tuple[str, ...]] = (
        *("delta_follow", "delta_gain", "delta_target_likeness"),
        *("target_follow", "turn_follow", "gripper_follow"),
        "follow_unit_unknown",
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
        """Agreement for deltas, targets, turns and grippers, of the arm that agrees least; NaN without meaning.

        `follow_unit_unknown` is 1 where a unit of the state is not known, so that hardly anything could be compared.
        """
        measured = {name: rows.nan() for name in self.columns}
        for vectors in rows.vectors:
            state, action = vectors.state_layout, vectors.action_layout
            same = len(state.arms) == len(action.arms) and state.encoding == "eef_pose"
            if not same or action.encoding not in COMMANDS:
                continue
            if not state.is_known([*state.position, *state.rotation, *state.grippers]):
                measured["follow_unit_unknown"][vectors.rows] = 1.0
            for here, command in zip(state.arms, action.arms, strict=True):
                for name, values in _arm(vectors, here, command).items():
                    worse = np.fmax if name == "delta_target_likeness" else np.fmin
                    measured[name][vectors.rows] = worse(measured[name][vectors.rows], values)
        return measured

    def coverage(self, seen: Seen) -> Coverage:
        """Name episodes of joints, those in which nothing moves, and the parts checked where units are unknown."""
        parts = [part for name, part in PARTS.items() if name in seen.known]
        if "follow_unit_unknown" in seen.known:
            only = f"by {', '.join(parts)} alone where a unit of the state is unknown"
            return checked(only) if parts else unchecked("a state of unknown unit")
        if parts:
            return CHECKED
        for name, encoding, compared in (("state", seen.state, COMMANDS[:1]), ("action", seen.action, COMMANDS)):
            if encoding not in compared:
                return unchecked(f"a {name} of {encoding}, which is not compared" if encoding else f"no {name}")
        return unchecked("too little motion, or hands that state and action lay out in two ways")

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


def _arm(vectors: Vectors, here: Arm, target: Arm) -> dict[str, Any]:
    """Every number of one arm: where it is, and what it is told."""
    agreement: dict[str, Any] = {}
    opening, command = (_part(vectors, side, (arm.gripper,)) for side, arm in (("state", here), ("action", target)))
    if opening is not None and command is not None:
        opening, command = opening.of(opening.values[:, 0]), command.of(command.values[:, 0])
        wide = opening.max() - opening.min() > LEAST_OPENING
        agreement["gripper_follow"] = _where(wide, _following.gripper_agreement(opening, command))
    position, way = (_whatever(vectors, side, arm.position) for side, arm in (("state", here), ("action", target)))
    if position is None or way is None or len(here.position) != len(target.position) or len(here.position) < 3:
        return agreement
    known = vectors.state_layout.is_known(here.position)
    moving = (position.max() - position.min()).max(axis=1) > (
        LEAST_WAY_M if known else LEAST_STEPS * _usual_step(position)
    )
    concordance = _following.target_agreement(position, way)
    if vectors.action_layout.encoding not in DELTAS:
        same_unit = known and vectors.action_layout.is_known(target.position)
        return agreement | ({"target_follow": _where(moving, concordance)} if same_unit else {})
    euler = _part(vectors, "state", here.rotation) if len(here.rotation) == 3 else None
    follow, gain = _following.delta_agreement(position, euler, way, vectors.control_hz)
    if euler is None:  # deltas may be those of the hand's frame, which nobody knows
        follow = np.where(follow < _following.DOUBTFUL, np.nan, follow)
    agreement |= {
        "delta_follow": _where(moving, follow),
        "delta_gain": _where(moving, gain),
        "delta_target_likeness": _where(moving, concordance),
    }
    turn = _whatever(vectors, "action", target.rotation)
    if euler is not None and turn is not None and len(target.rotation) == 3:
        away = wrap_angle(euler.values - euler.spread(euler.first()))
        turning = euler.of(np.abs(away).max(axis=1)).max() > LEAST_TURN
        agreement["turn_follow"] = _where(turning, _following.turn_agreement(euler, turn, vectors.control_hz))
    return agreement


def _part(vectors: Vectors, side: str, indices: Sequence[int | None]) -> Ragged | None:
    """Take values (n, k) in house units; None where there are none, or their unit is unknown."""
    vector, layout = getattr(vectors, side), getattr(vectors, f"{side}_layout")
    if vector is None or not indices or None in indices or not layout.is_known(indices):
        return None
    return vector.of(layout.in_house_units(vector.values, indices))


def _whatever(vectors: Vectors, side: str, indices: Sequence[int]) -> Ragged | None:
    """Take values (n, k) in whatever unit, as a motion is compared with a motion; None where there are none."""
    vector, layout = getattr(vectors, side), getattr(vectors, f"{side}_layout")
    if vector is None or not indices or layout.is_known(indices):
        return _part(vectors, side, indices)
    return vector.of(vector.values[:, list(indices)])


def _usual_step(position: Ragged) -> Any:
    """(e,) the middle one of an episode's steps by their length."""
    i, steps = position.pairs(1)
    return steps.of(np.linalg.norm(position.values[i + 1] - position.values[i], axis=1)).quantile(0.5)


def _where(meant: Any, values: Any) -> Any:
    return np.where(meant, values, np.nan)
