"""A scripted expert for SIMPLER's tabletop tasks that looks into the simulation: it puts one object onto another.

It knows where everything is, hence is a source of demonstrations and a ceiling, not a policy. All is said in the frame
of the robot's base, whose z points up and starts at the table.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipelines.evaluation.clients.simpler import hand

STEP_M, STEP_RAD = 0.035, 0.25
"""Most that an action leads the hand on; 0.05 m is a large step in BridgeData V2, and 0.25 rad a large turn."""
OPEN, CLOSE = 1.0, -1.0
UP = np.array([0.0, 0.0, 1.0])
LOOKS_DOWN = Rotation.from_matrix(hand.LOOKS_DOWN)
FINGERTIPS_M = 0.016
"""How far the fingers reach beyond the hand's link."""
CLEAR_M = 0.004
"""Between fingertips and table."""
MAX_WIDTH_M = 0.048
"""Of what it grips: open fingers are 5.2 cm apart."""
YAWS = np.radians(np.arange(-85, 95, 5))
TURN_COST_M = 0.002
"""Width that a turn by a radian is worth: of two equally narrow sides the hand takes that nearer to it."""
ABOVE_M, CARRY_M, RELEASE_M = 0.05, 0.035, 0.004
SLIPPED_M = 0.02
"""An object that slips so far in the hand in one step was lost."""
MISSED_M = 0.03
"""An object whose middle is farther from the target's is taken again."""
CLOSING_STEPS, OPENING_STEPS = 4, 3
STUCK_STEPS, STUCK_M = 4, 0.0015
PHASES = ("above", "descend", "close", "lift", "carry", "lower", "open", "leave", "rest")
HOLDING = ("close", "lift", "carry", "lower")


@dataclass(frozen=True)
class View:
    """What the expert knows at an instant; metres, in the frame of the robot's base."""

    hand: NDArray[np.float64]
    """(3,) where the hand's link is"""
    led_to: NDArray[np.float64]
    """(3,) where the controller leads it: an action moves that point, which the hand follows late"""
    led_turn: Rotation
    """As what it is turned there."""
    source: NDArray[np.float64]
    """(n, 3) corners of the object that is to be moved"""
    grip: NDArray[np.float64]
    """(3,) about where along its length that one is best taken"""
    target: NDArray[np.float64]
    """(m, 3) corners of what it is to stand on"""


@dataclass(frozen=True)
class Grasp:
    """Where and how the hand takes the object."""

    point: NDArray[np.float64]
    """(3,) of the hand's link"""
    yaw: float


class Expert:
    """Puts one object onto another; begins once they have come to rest, and takes again what it lost."""

    def __init__(self) -> None:
        self._phase, self._steps, self._still = "above", 0, 0
        self._last = np.full(3, np.inf)
        self._grasp: Grasp | None = None
        self._held = np.zeros(3)

    @property
    def phase(self) -> str:
        """What it is doing."""
        return self._phase

    def act(self, view: View) -> NDArray[np.float64]:
        """Give the next action (7,): metres, the controller's three angles, and -1 closes or +1 opens."""
        self._advance(view)
        self._steps += 1
        way = self._aim(view) - view.led_to
        length = float(np.linalg.norm(way))
        move = way * min(1.0, STEP_M / max(length, 1e-9))
        turn = self._turn(view).as_rotvec()
        angle = float(np.linalg.norm(turn))
        turn = Rotation.from_rotvec(turn * min(1.0, STEP_RAD / max(angle, 1e-9)))
        return np.array([*move, *turn.as_euler("XYZ"), CLOSE if self._phase in HOLDING else OPEN])

    def _grip(self, view: View) -> Grasp:
        """Keep the grasp that was chosen when the hand set out."""
        if self._grasp is None:
            self._grasp = find_grasp(view.source, view.grip)
        return self._grasp

    def _aim(self, view: View) -> NDArray[np.float64]:
        """Where the hand is to go (3,)."""
        point = self._grip(view).point
        on = np.array([*_middle(view.target)[:2], view.target[:, 2].max()]) - self._held
        return {
            "above": point + ABOVE_M * UP,
            "descend": point,
            "close": point,
            "lift": np.array([*point[:2], max(on[2] + CARRY_M, point[2] + ABOVE_M)]),
            "carry": on + CARRY_M * UP,
            "lower": on + RELEASE_M * UP,
            "open": on + RELEASE_M * UP,
            "leave": on + (ABOVE_M + CARRY_M) * UP,
            "rest": view.led_to,
        }[self._phase]

    def _advance(self, view: View) -> None:
        """Begin the next phase where this one's aim is reached, or the hand stands still."""
        held = _foot(view.source) - view.hand
        if self._phase == "close":
            self._held = held
        elif self._phase in ("lift", "carry", "lower"):
            if np.linalg.norm(held - self._held) > SLIPPED_M:
                self._begin("above")
            else:
                self._held = held
        off = self._aim(view) - view.hand
        level_m, height_m = float(np.hypot(*off[:2])), abs(float(off[2]))
        self._still = self._still + 1 if np.linalg.norm(view.hand - self._last) < STUCK_M else 0
        self._last = view.hand
        stuck = self._still >= STUCK_STEPS
        reached = {
            "above": (level_m < 0.006 and height_m < 0.02 and self._turned(view)) or stuck,
            "descend": height_m < 0.004 or stuck,
            "close": self._steps >= CLOSING_STEPS,
            "lift": height_m < 0.015 or stuck,
            "carry": level_m < 0.008 or stuck,
            "lower": height_m < 0.004 or stuck,
            "open": self._steps >= OPENING_STEPS,
            "leave": height_m < 0.01 or stuck,
            "rest": False,
        }[self._phase]
        if not reached:
            return
        missed = self._phase == "leave" and np.hypot(*(_middle(view.source) - _middle(view.target))[:2]) > MISSED_M
        self._begin("above" if missed else PHASES[PHASES.index(self._phase) + 1])

    def _begin(self, phase: str) -> None:
        self._phase, self._steps, self._still = phase, 0, 0
        if phase == "above":
            self._grasp, self._held = None, np.zeros(3)

    def _turn(self, view: View) -> Rotation:
        """Say what the hand is still to be turned by."""
        return Rotation.from_euler("z", self._grip(view).yaw) * LOOKS_DOWN * view.led_turn.inv()

    def _turned(self, view: View) -> bool:
        return bool(self._turn(view).magnitude() < np.radians(5))


def find_grasp(corners: NDArray[np.float64], grip: NDArray[np.float64]) -> Grasp:
    """Take an object, corners (n, 3), across its narrow side and at `grip` along the other.

    Raise RuntimeError where no side fits between the fingers.
    """
    widths = np.array([np.ptp(corners[:, :2] @ _opening(yaw)) for yaw in YAWS])
    best = int(np.argmin(widths + TURN_COST_M * np.abs(YAWS)))
    if widths[best] > MAX_WIDTH_M:
        raise RuntimeError(f"nothing fits between the fingers: the object is {1000 * widths[best]:.0f} mm wide")
    yaw = float(YAWS[best])
    across, along = _opening(yaw), np.array([np.cos(yaw), np.sin(yaw)])
    sides = corners[:, :2] @ across
    point = (sides.min() + sides.max()) / 2 * across + (grip[:2] @ along) * along
    lowest_m = float(corners[:, 2].min()) + FINGERTIPS_M + CLEAR_M
    return Grasp(np.array([*point, max(float(_middle(corners)[2]), lowest_m)]), yaw)


def _opening(yaw: float) -> NDArray[np.float64]:
    """(2,) the way in which the fingers of a hand with this yaw open."""
    return np.array([-np.sin(yaw), np.cos(yaw)])


def _middle(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((corners.min(axis=0) + corners.max(axis=0)) / 2)


def _foot(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3,) below the middle, at the height of the lowest corner."""
    return np.array([*_middle(corners)[:2], corners[:, 2].min()])
