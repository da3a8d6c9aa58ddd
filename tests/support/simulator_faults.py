"""What goes wrong between recordings and a simulator, each as a change of a sound one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.simulators._base import Observation
from tests.support.line_simulators import Line

Fault = Callable[[Any], None]


class Turning(Line):
    """A robot on a line that turns, too; its first five steps settle what a reset left swinging."""

    settles = True

    def reset(self, seed: int) -> None:
        super().reset(seed)
        self.state[2] = 0.02
        if self.settles:
            self.state[2] = 0.0

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        done = super().step(raw_action[[0, 1, 2, 6]])
        self.state[3:6] += 0.5 * raw_action[3:6]
        return done

    def expert(self) -> NDArray[np.float32]:
        x, y, z, closes = super().expert()
        return np.array([x, y, z, 0.0, 0.0, 0.1, closes], np.float32)

    def to_raw(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.array([*(action[:3] / 0.1), *(action[3:6] / 0.5), 1.0 - 2.0 * action[6]], np.float32)

    def to_canonical(self, raw_action: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.array([*(raw_action[:3] * 0.1), *(raw_action[3:6] * 0.5), (1.0 - raw_action[6]) / 2], np.float32)


def acting(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Fault:
    """Change canonical actions on their way into the simulator."""

    def fault(simulator: Any) -> None:
        to_raw = simulator.to_raw
        simulator.to_raw = lambda action: to_raw(change(action.copy()))

    return fault


def seeing(change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Fault:
    """Change the primary camera's pictures."""

    def fault(simulator: Any) -> None:
        observe = simulator.observe

        def changed() -> Observation:
            seen = observe()
            return replace(seen, image=np.ascontiguousarray(change(seen.image)))

        simulator.observe = changed

    return fault


def wrong_gripper(action: NDArray[np.float32]) -> NDArray[np.float32]:
    action[6] = 1.0 - action[6]
    return action


def scaled(action: NDArray[np.float32]) -> NDArray[np.float32]:
    action[:3] *= 0.9
    return action


def unturned(action: NDArray[np.float32]) -> NDArray[np.float32]:
    action[3:6] = 0.0
    return action


def turned_back(action: NDArray[np.float32]) -> NDArray[np.float32]:
    action[3:6] *= -1.0
    return action


def late(simulator: Any) -> None:
    """Execute each action a step too late."""
    step, waiting = simulator.step, []

    def delayed(raw_action: NDArray[np.float32]) -> bool:
        waiting.append(raw_action)
        return step(waiting[-2] if len(waiting) > 1 else 0 * raw_action)

    simulator.step = delayed


def unsettled(simulator: Any) -> None:
    """Leave out what a reset does at last."""
    simulator.settles = False


def not_reset(simulator: Any) -> None:
    """Go on where the episode before ended."""
    simulator.reset(0)
    for _ in range(5):
        simulator.step(simulator.expert())
    simulator.reset = lambda _seed: None


def at_half_the_rate(simulator: Any) -> None:
    """Hold each action twice as long."""
    step = simulator.step
    simulator.step = lambda raw_action: step(raw_action) or step(raw_action)


MOVES: dict[str, tuple[Fault, str]] = {
    "gripper sign": (acting(wrong_gripper), "stray"),
    "scaled actions": (acting(scaled), "the hand strays"),
    "late actions": (late, "the hand strays"),
    "no reset": (not_reset, "the hand strays"),
    "another rate": (at_half_the_rate, "the hand strays"),
}
SIGHTS: dict[str, tuple[Fault, str]] = {
    "upside down": (seeing(lambda image: image[::-1]), "pictures of camera primary differ"),
    "mirrored": (seeing(lambda image: image[:, ::-1]), "pictures of camera primary differ"),
    "turned by 180 degrees": (seeing(lambda image: image[::-1, ::-1]), "pictures of camera primary differ"),
    "BGR": (seeing(lambda image: image[..., ::-1]), "pictures of camera primary differ"),
    "darker": (seeing(lambda image: (0.75 * image).astype(np.uint8)), "pictures of camera primary differ"),
}
TURNS: dict[str, tuple[Fault, str]] = {
    "rotation zeroed": (acting(unturned), "turned off"),
    "rotation sign": (acting(turned_back), "turned off"),
    "not settled": (unsettled, "the hand strays"),
}
