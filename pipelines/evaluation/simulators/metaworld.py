"""Meta-World: a Sawyer arm at a table, 4-D actions, scripted experts for every task.

world_vector  (3,)  -1 to 1, 0.01 m for each of 4 simulator steps  <- canonical action[:3] / 0.04 m
gripper       (1,)  -1 opens, +1 closes                            <- 1 - 2 * canonical action[6]
hand_pos      (3,)  metres                                         -> canonical state[:3]
opening       (1,)  0 closed to 1 open                             -> canonical state[6]

The simulator steps at 80 Hz; an action is held for 4 steps, hence 20 Hz. The camera is ours: Meta-World's own spend
most pixels on floor and arm, and the object is then 2 to 4 pixels wide.
"""

import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.simulators._base import Observation, check_task, quiet, require_drawing

SUBSTEPS = 4
STEP_M = 0.01 * SUBSTEPS
IMAGE_SIDE = 128
NEVER = 10**9
"""Simulator steps."""


class Metaworld:
    """One Meta-World task from a close-up camera."""

    name: ClassVar[str] = "metaworld"
    source: ClassVar[str] = "openx/metaworld"
    embodiment: ClassVar[str] = "sawyer"
    control_hz: ClassVar[float] = 20.0
    max_steps: ClassVar[int] = 75
    expert_noise: ClassVar[float] = 0.2
    tasks: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "button-press-topdown": "press the button from the top",
            "window-close": "slide the window shut",
            "window-open": "slide the window open",
            "faucet-close": "turn the faucet off",
            "push": "push the puck to the goal",
            "drawer-open": "pull the drawer open",
            "drawer-close": "push the drawer shut",
            "door-close": "close the door",
            "door-open": "open the door",
            "handle-press": "press the handle down",
            "faucet-open": "turn the faucet on",
            "plate-slide": "slide the plate into the net",
            "coffee-button": "press the button of the coffee machine",
            "lever-pull": "pull the lever up",
        }
    )

    default_tasks: ClassVar[tuple[str, ...]] = ("button-press-topdown", "window-close", "window-open")

    def __init__(self, task: str) -> None:
        check_task(Metaworld, task)
        require_drawing()
        with quiet():
            from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
            from metaworld.policies import ENV_POLICY_MAP
        import mujoco

        from pipelines.evaluation.simulators import _camera

        self._forward = mujoco.mj_forward
        self.task = task
        self._draw = _camera.draw
        self._view = _camera.free_camera((0.0, 0.68, 0.12), distance=1.05, azimuth=-50.0, elevation=-38.0)
        self._env = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{task}-v3-goal-observable"](seed=0)
        self._env._freeze_rand_vec = False
        self._env.seeded_rand_vec = True
        self._env.max_path_length = NEVER  # it raises beyond; how long an attempt may be is the evaluation's to say
        self._policy = ENV_POLICY_MAP[f"{task}-v3"]()
        self._inside: NDArray[np.float64] = np.zeros(39)

    def reset(self, seed: int) -> None:
        """Begin the attempt of this seed."""
        self._env.seed(seed)
        self._env.reset()
        # The reset moves the object's body last and leaves picture and vector of the scene before: bring them along.
        self._forward(self._env.model, self._env.data)
        self._inside = self._env._get_obs()

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        """Hold the action for 4 simulator steps; done when any of them is."""
        success = False
        for _ in range(SUBSTEPS):
            self._inside, _, _, _, info = self._env.step(np.clip(raw_action, -1.0, 1.0))
            success |= bool(info["success"])
        return success

    def observe(self) -> Observation:
        """Draw the close-up view."""
        raw_state = self._inside[:4].astype(np.float32)
        return Observation(
            image=self.picture(self._view, IMAGE_SIDE, IMAGE_SIDE),
            raw_state=raw_state,
            state=np.array([*raw_state[:3], 0.0, 0.0, 0.0, np.clip(raw_state[3], 0.0, 1.0)], np.float32),
            embodiment=self.embodiment,
            control_hz=self.control_hz,
        )

    def picture(self, view: Any, height: int, width: int) -> NDArray[np.uint8]:
        """Draw the scene from any camera, (height, width, 3)."""
        return self._draw(self._env.model_name, self._env.model, self._env.data, view, height, width)

    def expert(self) -> NDArray[np.float32]:
        """Ask Meta-World's own scripted expert, clipped to what the simulator accepts."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the experts ask for more than 1 and warn that they do
            return np.clip(self._policy.get_action(self._inside), -1.0, 1.0).astype(np.float32)

    def to_raw(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn metres and opening into Meta-World's action (4,)."""
        return np.clip(np.append(action[:3] / STEP_M, 1.0 - 2.0 * action[6]), -1.0, 1.0).astype(np.float32)

    def to_canonical(self, raw_action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn Meta-World's action into metres and opening (7,)."""
        return np.array([*(raw_action[:3] * STEP_M), 0.0, 0.0, 0.0, (1.0 - raw_action[3]) / 2.0], np.float32)
