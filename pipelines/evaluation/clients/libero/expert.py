"""A scripted expert for LIBERO-Object that looks into the simulation: it puts the named object into the basket.

It knows where everything is, hence is a source of demonstrations and a ceiling, not a policy.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipelines.evaluation.clients.libero.scene import Scene, View

METRES_PER_STEP, RADIANS_PER_STEP = 0.05, 0.5
TRANSIT_GAIN = 1.5
OPEN, CLOSE = -1.0, 1.0
HAND_M = (0.105, 0.035)
"""Half length of the hand along the way its fingers open, and across it."""
HAND_ABOVE_GRIP_M = 0.034
MAX_WIDTH_M = 0.07
"""Of what it grips: the fingers open by 8 cm."""
YAWS = tuple(np.radians([0, 15, -15, 30, -30, 45, -45, 60, -60, 75, -75, 90]))
SHIFTS_M = (0.0, 0.008, -0.008, 0.016, -0.016, 0.024, -0.024)
CLOSING_STEPS, OPENING_STEPS = 8, 10
STUCK_STEPS, STUCK_M = 6, 0.0015
DOWN = Rotation.from_euler("x", np.pi)
"""Orientation of a hand that points down and opens along y."""


@dataclass(frozen=True)
class Grasp:
    """Where and how the hand takes the object."""

    point: NDArray[np.float64]
    """(3,)"""
    yaw: float
    hang_m: float
    """How far the object reaches below the grip."""
    top_m: float


class Expert:
    """Puts one object into the basket; made after the objects have come to rest."""

    def __init__(self, scene: Scene, target: str | None = None, container: str | None = None) -> None:
        wanted = scene.inner.parsed_problem["goal_state"][0]
        if wanted[0].lower() != "in" or "basket" not in wanted[2]:
            raise ValueError(f"the expert puts objects into a basket, this task wants {' '.join(wanted)}")
        self._scene = scene
        self.target = target or wanted[1]
        basket = scene.points(container or "basket_1")
        self._rim_m = float(basket[:, 2].max())
        self._over = (basket[:, :2].min(axis=0) + basket[:, :2].max(axis=0)) / 2
        self.grasp = _grasp(scene, self.target)
        self._phase, self._steps, self._last_z, self._still = "above", 0, np.inf, 0

    @property
    def finished(self) -> bool:
        """Whether the hand has let go."""
        return self._phase == "open" and self._steps >= OPENING_STEPS

    @property
    def in_transit(self) -> bool:
        """Whether the hand is in free space, where a push does no harm."""
        return self._phase in ("above", "lift", "carry")

    def act(self, view: View) -> NDArray[np.float64]:
        """Give the next action (7,)."""
        self._advance(view)
        self._steps += 1
        grip, aim = self.grasp, self._aim()
        gain = TRANSIT_GAIN if self.in_transit else 1.0
        move = np.clip((aim - view.position) / METRES_PER_STEP * gain, -1, 1)
        wanted = Rotation.from_euler("z", grip.yaw) * DOWN
        turn = np.clip((wanted * Rotation.from_rotvec(view.rotation).inv()).as_rotvec() / RADIANS_PER_STEP, -1, 1)
        hold = CLOSE if self._phase in ("close", "lift", "carry", "lower") else OPEN
        return np.concatenate([move, turn, [hold]])

    def _aim(self) -> NDArray[np.float64]:
        """Where the hand is to go (3,)."""
        grip = self.grasp
        carried_m = self._rim_m + grip.hang_m + 0.03
        released_m = max(self._rim_m - 0.015, self._rim_m + grip.hang_m - 0.05)
        return {
            "above": np.array([*grip.point[:2], grip.top_m + 0.06]),
            "descend": grip.point,
            "close": grip.point,
            "lift": np.array([*grip.point[:2], carried_m]),
            "carry": np.array([*self._over, carried_m]),
            "lower": np.array([*self._over, released_m]),
            "open": np.array([*self._over, released_m]),
        }[self._phase]

    def _advance(self, view: View) -> None:
        """Begin the next phase where this one's aim is reached, or the hand stands still."""
        off = self._aim() - view.position
        level_m, height_m = float(np.hypot(*off[:2])), abs(float(off[2]))
        self._still = self._still + 1 if abs(view.position[2] - self._last_z) < STUCK_M else 0
        self._last_z = view.position[2]
        stuck = self._still >= STUCK_STEPS
        reached = {
            "above": level_m < 0.008 and height_m < 0.03,
            "descend": height_m < 0.004 or stuck,
            "close": self._steps >= CLOSING_STEPS,
            "lift": off[2] < 0.02,
            "carry": level_m < 0.015,
            "lower": height_m < 0.01 or stuck,
            "open": False,
        }[self._phase]
        if reached:
            phases = ("above", "descend", "close", "lift", "carry", "lower", "open")
            self._phase, self._steps, self._still = phases[phases.index(self._phase) + 1], 0, 0


def _grasp(scene: Scene, target: str) -> Grasp:
    """Find the turn and shift of the hand nearest to none, at which fingers fit and the hand touches nothing else."""
    points = scene.points(target)
    low, high = points.min(axis=0), points.max(axis=0)
    height = max(high[2] - 0.03, low[2] + 0.012)
    others = [scene.points(name) for name in scene.movable() if name != target]
    taller = [other[:, :2] for other in others if other[:, 2].max() > height + HAND_ABOVE_GRIP_M - 0.005]
    middle = (low[:2] + high[:2]) / 2
    best: tuple[float, Grasp] | None = None
    for yaw, along, across in product(YAWS, SHIFTS_M, SHIFTS_M):
        opening, thick = np.array([-np.sin(yaw), np.cos(yaw)]), np.array([np.cos(yaw), np.sin(yaw)])
        width = np.ptp(points[:, :2] @ opening)
        slack = (0.08 - width) / 2 - 0.004
        cost = abs(yaw) + 20 * abs(along) + 10 * abs(across)
        room = max(np.ptp(points[:, :2] @ thick) / 2 - 0.012, 0.0)
        if width > MAX_WIDTH_M or abs(along) > slack or abs(across) > room or (best and cost >= best[0]):
            continue
        point = middle + along * opening + across * thick
        if not any(_meets(other - point, opening, thick) for other in taller):
            best = cost, Grasp(np.array([*point, height]), yaw, float(height - low[2]), float(high[2]))
    if best is None:
        raise RuntimeError(f"{target} cannot be grasped: others are too near to it for the hand")
    return best[1]


def _meets(points: NDArray[np.float64], opening: NDArray[np.float64], thick: NDArray[np.float64]) -> bool:
    """Tell whether the box around points (n, 2), seen from the hand, meets the hand."""
    return all(
        (points @ axis).min() < half and (points @ axis).max() > -half
        for axis, half in zip((opening, thick), HAND_M, strict=True)
    )
