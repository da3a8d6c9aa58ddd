"""Fetch of gymnasium-robotics: a mobile robot's arm at a table, 4-D actions at 25 Hz.

action[:3]  -1 to 1, 0.05 m a step                   <- canonical action[:3] / 0.05 m
action[3]   -1 closes, +1 opens                      <- 2 * canonical action[6] - 1
state       (8,) grip xyz in metres, two finger positions of 0 to 0.05 m, grip velocity in metres a step
                                                     -> canonical state: xyz, opening = both fingers / 0.1 m
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.simulators._base import Observation, check_task, quiet, require_drawing

STEP_M = 0.05
FINGERS_OPEN_M = 0.1
IMAGE_SIDE = 128
ENVIRONMENTS = {"pick-and-place": "FetchPickAndPlace-v4", "push": "FetchPush-v4", "reach": "FetchReach-v4"}
ABOVE_M = 0.10
NEAR_M = 0.012


class Fetch:
    """One Fetch task, seen by a close-up camera and by the camera in the gripper."""

    name: ClassVar[str] = "fetch"
    source: ClassVar[str] = "openx/fetch"
    embodiment: ClassVar[str] = "fetch"
    control_hz: ClassVar[float] = 25.0
    max_steps: ClassVar[int] = 100
    expert_noise: ClassVar[float] = 0.1
    tasks: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "pick-and-place": "pick up the block and move it to the red ball",
            "push": "push the block to the red ball",
            "reach": "move the gripper to the red ball",
        }
    )

    def __init__(self, task: str) -> None:
        check_task(Fetch, task)
        require_drawing()
        with quiet():
            import gymnasium
            import gymnasium_robotics

            gymnasium.register_envs(gymnasium_robotics)
        from pipelines.evaluation.simulators import _camera

        self.task = task
        self._draw = _camera.draw
        self._view = _camera.free_camera((1.32, 0.75, 0.50), distance=1.0, azimuth=145.0, elevation=-35.0)
        self._env = gymnasium.make(ENVIRONMENTS[task]).unwrapped
        # The robot's own gripper camera looks into the gripper; this one hangs before it and moves along.
        self._wrist_view = _camera.free_camera((0.0, 0.0, 0.0), distance=0.3, azimuth=180.0, elevation=-40.0)
        mocap = self._env.model.body("robot0:mocap").id
        self._env.model.geom_rgba[self._env.model.geom_bodyid == mocap, 3] = 0.0  # green help lines of the controller
        self._inside: dict[str, NDArray[np.float64]] = {}
        self._grasped = False

    def reset(self, seed: int) -> None:
        """Begin the attempt of this seed."""
        self._inside, _ = self._env.reset(seed=seed)
        self._env._render_callback()  # moves the drawn goal to this attempt's goal; without it the old one stays
        self._grasped = False

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        """Act for one step of 40 ms."""
        self._inside, _, _, _, info = self._env.step(np.clip(raw_action, -1.0, 1.0).astype(np.float32))
        return bool(info["is_success"])

    def observe(self) -> Observation:
        """Draw the side view and the gripper's view."""
        inside = self._inside["observation"]
        # Without a block the vector is grip, widths, grip velocity, finger velocity.
        parts = [inside[:8]] if self.task == "reach" else [inside[:3], inside[9:11], inside[20:23]]
        raw_state = np.concatenate(parts).astype(np.float32)
        opening = np.clip(raw_state[3:5].sum() / FINGERS_OPEN_M, 0.0, 1.0)
        self._wrist_view.lookat[:] = inside[:3]
        return Observation(
            image=self._picture(self._view),
            wrist=self._picture(self._wrist_view),
            raw_state=raw_state,
            state=np.array([*raw_state[:3], 0.0, 0.0, 0.0, opening], np.float32),
            embodiment=self.embodiment,
            control_hz=self.control_hz,
        )

    def expert(self) -> NDArray[np.float32]:
        """Steer towards the next waypoint of the task."""
        grip, goal = self._inside["observation"][:3], self._inside["desired_goal"]
        if self.task == "reach":
            return self._towards(goal - grip, opening=0.0)
        block = self._inside["observation"][3:6]
        return self._pick(grip, block, goal) if self.task == "pick-and-place" else self._push(grip, block, goal)

    def to_raw(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn metres and opening into Fetch's action (4,)."""
        return np.clip(np.append(action[:3] / STEP_M, 2.0 * action[6] - 1.0), -1.0, 1.0).astype(np.float32)

    def to_canonical(self, raw_action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn Fetch's action into metres and opening (7,)."""
        return np.array([*(raw_action[:3] * STEP_M), 0.0, 0.0, 0.0, (1.0 + raw_action[3]) / 2.0], np.float32)

    def _pick(self, grip: NDArray, block: NDArray, goal: NDArray) -> NDArray[np.float32]:
        """Go above the block, down, close, then to the goal."""
        to_block = block - grip
        width = float(self._inside["observation"][9:11].sum())
        if np.linalg.norm(to_block) > 0.05:
            self._grasped = False
        if not self._grasped:
            if np.linalg.norm(to_block[:2]) > NEAR_M and grip[2] < block[2] + 0.04:
                return self._towards(np.array([0.0, 0.0, ABOVE_M]), opening=1.0)
            if np.linalg.norm(to_block[:2]) > NEAR_M:
                return self._towards(to_block + np.array([0.0, 0.0, ABOVE_M / 2]), opening=1.0)
            if abs(to_block[2]) > NEAR_M:
                return self._towards(to_block, opening=1.0)
            self._grasped = width < 0.055
            return self._towards(to_block, opening=-1.0)
        return self._towards(goal - block, opening=-1.0)

    def _push(self, grip: NDArray, block: NDArray, goal: NDArray) -> NDArray[np.float32]:
        """Go behind the block, seen from the goal, and push it there."""
        ahead = goal[:2] - block[:2]
        ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-6)
        behind = np.array([*(block[:2] - 0.09 * ahead), block[2]])
        side = float(np.abs(np.cross(np.append(ahead, 0.0), np.append(block[:2] - grip[:2], 0.0))[2]))
        is_behind = float(np.dot(block[:2] - grip[:2], ahead)) > 0.02 and side < 0.015
        if not is_behind:
            if np.linalg.norm(behind[:2] - grip[:2]) > 0.02:
                return self._towards(behind + np.array([0.0, 0.0, ABOVE_M]) - grip, opening=-1.0)
            return self._towards(behind - grip, opening=-1.0)
        if grip[2] > block[2] + 0.02:
            return self._towards(behind - grip, opening=-1.0)
        return self._towards(np.array([*(goal[:2] - block[:2]), block[2] - grip[2]]), opening=-1.0, gain=4.0)

    @staticmethod
    def _towards(delta_m: NDArray, opening: float, gain: float = 8.0) -> NDArray[np.float32]:
        """Move by a share of the way that is left."""
        return np.clip(np.append(gain * delta_m, opening), -1.0, 1.0).astype(np.float32)

    def _picture(self, view: object) -> NDArray[np.uint8]:
        return self._draw(ENVIRONMENTS[self.task], self._env.model, self._env.data, view, IMAGE_SIDE, IMAGE_SIDE)
