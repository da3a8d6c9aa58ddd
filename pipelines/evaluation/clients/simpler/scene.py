"""One digital twin in ManiSkill3, on a CPU, drawn only where somebody looks.

What goes in and out is ManiSkill's own; `pipelines/evaluation/simulators/simpler.py` says what it means.
"""

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.clients.simpler.twins import TWINS

CAMERA = "3rd_view_camera"


class Scene:
    """A task of the WidowX."""

    def __init__(self, task: str) -> None:
        import gymnasium
        import mani_skill.envs  # noqa: F401  (makes its tasks known)

        self._env = gymnasium.make(
            TWINS[task].env,
            obs_mode="rgb+segmentation",
            num_envs=1,
            sim_backend="physx_cpu",
            render_backend="cpu",
        ).unwrapped

    def begin(self, episode: int) -> None:
        """Begin at a start of the benchmark's grid; numbers beyond it begin anew."""
        self._env.reset(seed=episode, options={"episode_id": int(episode)})

    def step(self, action: NDArray[np.float64]) -> bool:
        """Act (7,) for one control step, as the environment's own does but for drawing; say whether it is solved."""
        self._env._step_action(np.asarray(action, np.float32))
        self._env._elapsed_steps += 1
        return bool(self._env.get_info()["success"].item())

    def picture(self) -> NDArray[np.uint8]:
        """(480, 640, 3) the camera's picture before the photographed background."""
        seen = self._env.get_obs(self._env.get_info())["sensor_data"][CAMERA]["rgb"]
        return np.ascontiguousarray(seen[0].cpu().numpy(), np.uint8)

    def hand(self) -> NDArray[np.float64]:
        """(7,) pose of the gripper's link in the robot's base: metres, and a quaternion with w first."""
        arm = self._env.agent.controller.controllers["arm"]
        return np.asarray(arm.ee_pose_at_base.raw_pose[0].cpu().numpy(), np.float64)

    def fingers(self) -> NDArray[np.float64]:
        """(2,) how far the fingers are out, in metres."""
        return np.asarray(self._env.agent.robot.get_qpos()[0, -2:].cpu().numpy(), np.float64)
