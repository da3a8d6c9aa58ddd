"""One digital twin in ManiSkill3, on a CPU, drawn only where somebody looks.

What goes in and out is ManiSkill's own; `pipelines/evaluation/simulators/simpler.py` says what it means.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipelines.evaluation.clients.simpler.expert import Expert, View
from pipelines.evaluation.clients.simpler.jitter import jittered
from pipelines.evaluation.clients.simpler.twins import TWINS

CAMERA = "3rd_view_camera"


class Scene:
    """A task of the WidowX."""

    def __init__(self, task: str, jitters: bool) -> None:
        """Set it up; with `jitters` its starts are beside those of the benchmark."""
        import gymnasium
        import mani_skill.envs  # noqa: F401  (makes its tasks known)

        self._twin, self._jitters = TWINS[task], jitters
        self._env = gymnasium.make(
            self._twin.env,
            obs_mode="rgb+segmentation",
            num_envs=1,
            sim_backend="physx_cpu",
            render_backend="cpu",
        ).unwrapped
        self._layouts = tuple(np.asarray(one, np.float64) for one in (self._env.xyz_configs, self._env.quat_configs))
        self._expert = Expert()

    def begin(self, start: int) -> None:
        """Begin at a start of the benchmark's grid, whose numbers begin anew beyond it; a jittered one is a seed."""
        if self._jitters:
            import torch

            drawn = jittered(start, *self._layouts)
            self._env.xyz_configs, self._env.quat_configs = (
                torch.tensor(one, dtype=torch.float32)[None] for one in drawn
            )
        self._env.reset(seed=start, options={"episode_id": start})
        self._expert = Expert()

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
        return np.asarray(self._arm.ee_pose_at_base.raw_pose[0].cpu().numpy(), np.float64)

    def fingers(self) -> NDArray[np.float64]:
        """(2,) how far the fingers are out, in metres."""
        return np.asarray(self._env.agent.robot.get_qpos()[0, -2:].cpu().numpy(), np.float64)

    def expert(self) -> NDArray[np.float64]:
        """Ask the scripted expert for its next action (7,)."""
        return self._expert.act(self.view())

    def view(self) -> View:
        """Look into the simulation."""
        led_to = np.asarray(self._arm._target_pose.raw_pose[0].numpy(), np.float64)
        source, target = (self._env.objs[name] for name in (self._env.source_obj_name, self._env.target_obj_name))
        pose = self._pose(source)
        return View(
            hand=self.hand()[:3],
            led_to=led_to[:3],
            led_turn=_rotation(led_to),
            source=self._corners(source),
            grip=_rotation(pose).apply([self._twin.grip_m, 0.0, 0.0]) + pose[:3],
            target=self._corners(target),
        )

    @property
    def _arm(self) -> Any:
        return self._env.agent.controller.controllers["arm"]

    def _corners(self, actor: Any) -> NDArray[np.float64]:
        """(n, 3) where the corners of an object's shapes are, in the frame of the robot's base."""
        pose = self._pose(actor)
        [body] = actor._bodies
        shapes = [shape.vertices * np.asarray(shape.scale) for shape in body.collision_shapes]
        return np.asarray(_rotation(pose).apply(np.concatenate(shapes)) + pose[:3])

    def _pose(self, actor: Any) -> NDArray[np.float64]:
        """(7,) pose of an object in the frame of the robot's base."""
        return np.asarray((self._env.agent.robot.pose.inv() * actor.pose).raw_pose[0].numpy(), np.float64)


def _rotation(pose: NDArray[np.float64]) -> Rotation:
    """Read the quaternion, w first, of a pose (7,)."""
    return Rotation.from_quat(pose[[4, 5, 6, 3]])
