"""Robots on a line, without physics or drawing: sound ones, and some that fail at certain starts.

The state is x, y, z in metres, angles and a gripper's opening; the robot must come near x = 1 m. It starts at 0.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM, Observation

GOAL_M, NEAR_M, STEP_M = 1.0, 0.05, 0.1


class Line:
    """Reaches its goal in ten full steps."""

    name: ClassVar[str] = "line"
    source: ClassVar[str] = "openx/metaworld"
    embodiment: ClassVar[str] = "sawyer"
    control_hz: ClassVar[float] = 20.0
    max_steps: ClassVar[int] = 20
    expert_noise: ClassVar[float] = 0.0
    tasks: ClassVar[Mapping[str, str]] = {"forward": "go forward", "backward": "go backward"}

    def __init__(self, task: str) -> None:
        self.task, self.seed = task, 0
        self.state = np.zeros(7, np.float32)

    def reset(self, seed: int) -> None:
        self.seed = seed
        self.state = np.zeros(7, np.float32)
        self.state[1] = np.random.default_rng(seed).uniform(-0.5, 0.5)

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        self.state[:3] += STEP_M * np.clip(raw_action[:3], -1, 1)
        self.state[6] = (1.0 - raw_action[3]) / 2
        return abs(float(self.state[0]) - GOAL_M) < NEAR_M

    def observe(self) -> Observation:
        image = np.zeros((32, 32, 3), np.uint8)
        image[:8, :8] = (200, 100, 50)
        image[16, : 2 + int(28 * np.clip(self.state[0], 0, 1))] = 255
        return Observation(
            image=image, raw_state=self.state.copy(), state=self.state.copy(), embodiment="sawyer", control_hz=20.0
        )

    def expert(self) -> NDArray[np.float32]:
        return np.array([1.0, 0.0, 0.0, 1.0 if self.state[0] > 0.5 else -1.0], np.float32)

    def to_raw(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.array([*(action[:3] / STEP_M), 1.0 - 2.0 * action[6]], np.float32)

    def to_canonical(self, raw_action: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.array([*(raw_action[:3] * STEP_M), 0, 0, 0, (1.0 - raw_action[3]) / 2], np.float32)


class Hard(Line):
    """Nobody solves every third start: the robot is stuck."""

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        return super().step(raw_action) and self.seed % 3 != 0


class Raises(Line):
    """Raises at its second start."""

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        if self.seed == EVAL_SEEDS_FROM + 1 and self.state[0] > 0.35:
            raise FloatingPointError("the solver diverged")
        return super().step(raw_action)


class Dies(Line):
    """Takes its process along at its second start."""

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        if self.seed == EVAL_SEEDS_FROM + 1 and self.state[0] > 0.35:
            os._exit(11)
        return super().step(raw_action)


class DiesOnce(Line):
    """Takes its process along at its second start, the first time only."""

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        died = Path(os.environ["LINE_DIED"])
        if self.seed == EVAL_SEEDS_FROM + 1 and not died.exists():
            died.touch()
            os._exit(11)
        return super().step(raw_action)


class Hangs(Line):
    """Never answers at its second start."""

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        if self.seed == EVAL_SEEDS_FROM + 1:
            time.sleep(600)
        return super().step(raw_action)


class Broken(Line):
    """Raises at every start."""

    def reset(self, seed: int) -> None:
        raise FileNotFoundError("no mesh 'cube.stl'")


class Unmade(Line):
    """Lacks a package."""

    def __init__(self, task: str) -> None:
        raise ModuleNotFoundError("No module named 'line_engine'", name="line_engine")


class FailsToBeMade(Line):
    """Is made once, and from the second time on fails in the way that `LINE_FAILS` says."""

    def __init__(self, task: str) -> None:
        super().__init__(task)
        made = Path(os.environ["LINE_MADE"])
        if made.exists():
            {"dies": lambda: os._exit(11), "hangs": lambda: time.sleep(600)}[os.environ["LINE_FAILS"]]()
        made.touch()

    def reset(self, seed: int) -> None:
        super().reset(seed)
        if seed == EVAL_SEEDS_FROM + 1:
            _raise()


class FailsAtStart(Line):
    """Fails in the reset of its second start, in the way that `LINE_FAILS` says."""

    def reset(self, seed: int) -> None:
        super().reset(seed)
        if seed == EVAL_SEEDS_FROM + 1:
            fail = {"raises": _raise, "dies": lambda: os._exit(11), "hangs": lambda: time.sleep(600)}
            fail[os.environ["LINE_FAILS"]]()


def _raise() -> None:
    raise FloatingPointError("the solver diverged")


class Backwards(Line):
    """Goes the other way on the task `backward`."""

    def to_raw(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        raw_action = super().to_raw(action)
        return raw_action * np.float32(-1.0 if self.task == "backward" else 1.0)


class Turned(Line):
    """Shows its pictures upside down."""

    def observe(self) -> Observation:
        seen = super().observe()
        return replace(seen, image=np.ascontiguousarray(seen.image[::-1]))
