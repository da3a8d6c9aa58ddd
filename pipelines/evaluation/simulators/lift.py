"""robosuite's Lift: one arm reaches for a cube on a table and lifts it; here a Panda at 20 Hz.

action  (7,)  dxyz (1 is 0.05 m), rotation vector (1 is 0.5 rad), gripper -1 opens, +1 closes
        -> canonical action[:3] metres, [3:6] radians, [6] 0 closed to 1 open
state   (8,)  grip xyz in metres, quaternion xyzw, opening 0 closed to 1 open
        -> canonical state (7,): xyz, roll pitch yaw (extrinsic), opening

An action moves the target of a soft controller, which covers about a quarter of it in one step: a commanded metre is
not a metre of way. `lift_ur5e` and `lift_kinova3` are other arms at other rates in the same scene.
"""

import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipelines.evaluation.simulators._base import Observation, check_task, quiet, require_drawing

STEP_M, STEP_RAD = 0.05, 0.5
IMAGE_SIDE = 128
TABLE_M = 0.8
SPREAD_M = 0.08
"""The cube lies at most so far from the middle of the table, in x and in y."""
DETOUR_M = (0.12, 0.16, 0.12)
"""Where the arm goes first: so far from a point above the cube at most; otherwise all attempts would move alike."""
ABOVE_M, LIFT_M, NEAR_M = 0.08, 0.15, 0.015
CLOSE_S = 0.5


class Lift:
    """One arm and a camera that looks at the table from the other side."""

    name: ClassVar[str] = "lift"
    source: ClassVar[str] = "openx/auto"
    embodiment: ClassVar[str] = "panda"
    control_hz: ClassVar[float] = 20.0
    max_steps: ClassVar[int] = 180
    expert_noise: ClassVar[float] = 0.1
    tasks: ClassVar[Mapping[str, str]] = MappingProxyType({"cube": "lift the cube"})
    state_encoding: ClassVar[str] = "eef_pose"
    action_encoding: ClassVar[str] = "eef_delta"
    robot: ClassVar[str] = "Panda"
    """Its name in robosuite."""
    finger_open: ClassVar[float] = 0.04
    """The first joint of an open gripper."""
    finger_closed: ClassVar[float] = 0.0
    """The first joint of a gripper that closed on nothing."""

    def __init__(self, task: str) -> None:
        check_task(type(self), task)
        require_drawing()
        from pipelines.evaluation.simulators import _camera

        self.task = task
        self._draw = _camera.draw
        with quiet():
            self._env = _make(self.robot, int(self.control_hz))
        self._arm = self._env.robots[0]
        self._model, self._data = self._env.sim.model._model, self._env.sim.data._data
        self._view = _camera.free_camera((-0.05, 0.0, 0.92), distance=0.85, azimuth=145.0, elevation=-30.0)
        self._fingers = self._arm._ref_gripper_joint_pos_indexes["right"]
        self._stage = 0  # 0 detour, 1 above the cube, 2 down, 3 close, 4 lift
        self._waited = 0
        self._first = np.zeros(3)
        self._upright = Rotation.identity()

    def reset(self, seed: int) -> None:
        """Begin the attempt of this seed."""
        random = np.random.default_rng(seed)
        self._env.rng = self._env.placement_initializer.rng = self._arm.rng = random
        self._env.reset()
        self._stage, self._waited = 0, 0
        self._first = self._cube() + np.array([0.0, 0.0, 0.2]) + random.uniform(-1.0, 1.0, 3) * DETOUR_M
        self._upright = self._pose()[1]

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        """Act for one control step."""
        self._env.step(np.clip(raw_action, -1.0, 1.0))
        return bool(self._env._check_success())

    def observe(self) -> Observation:
        """Draw the scene."""
        position, rotation = self._pose()
        opening = self._opening()
        return Observation(
            image=self._draw(f"lift {self.robot}", self._model, self._data, self._view, IMAGE_SIDE, IMAGE_SIDE, (0,)),
            raw_state=np.concatenate([position, rotation.as_quat(), [opening]]).astype(np.float32),
            state=np.concatenate([position, rotation.as_euler("xyz"), [opening]]).astype(np.float32),
            embodiment=self.embodiment,
            control_hz=self.control_hz,
        )

    def expert(self) -> NDArray[np.float32]:
        """Go somewhere, then above the cube, down, close and lift."""
        position, rotation = self._pose()
        cube = self._cube()
        over = cube + np.array([0.0, 0.0, ABOVE_M])
        if self._stage == 0 and np.linalg.norm(self._first - position) < 2 * NEAR_M:
            self._stage = 1
        if self._stage == 1 and np.linalg.norm(over - position) < NEAR_M:
            self._stage = 2
        if self._stage == 2 and np.linalg.norm(cube - position) < NEAR_M:
            self._stage = 3
        if self._stage == 3:
            self._waited += 1
            self._stage = 4 if self._waited > CLOSE_S * self.control_hz else 3
        goal = (self._first, over, cube, cube, np.array([*cube[:2], TABLE_M + LIFT_M]))[self._stage]
        # a cube looks the same after a quarter turn
        turn = Rotation.from_matrix(self._data.body(self._env.cube_body_id).xmat.reshape(3, 3)).as_euler("xyz")[2]
        turn = (turn + np.pi / 4) % (np.pi / 2) - np.pi / 4
        twist = (Rotation.from_euler("z", turn) * self._upright * rotation.inv()).as_rotvec()
        way = np.concatenate([(goal - position) / STEP_M, twist / STEP_RAD])
        return np.clip([*way, 1.0 if self._stage >= 3 else -1.0], -1.0, 1.0).astype(np.float32)

    def to_raw(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn metres, radians and opening into the controller's action (7,)."""
        turn = Rotation.from_euler("xyz", action[3:6]).as_rotvec() / STEP_RAD
        return np.clip([*(action[:3] / STEP_M), *turn, 1.0 - 2.0 * action[6]], -1.0, 1.0).astype(np.float32)

    def to_canonical(self, raw_action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn the controller's action into metres, radians and opening (7,)."""
        turn = Rotation.from_rotvec(raw_action[3:6] * STEP_RAD).as_euler("xyz")
        return np.array([*(raw_action[:3] * STEP_M), *turn, (1.0 - raw_action[6]) / 2.0], np.float32)

    def _cube(self) -> NDArray[np.float64]:
        return self._data.body(self._env.cube_body_id).xpos.copy()

    def _pose(self) -> tuple[NDArray[np.float64], Rotation]:
        """Position in metres and rotation of the gripper, in the world's frame."""
        site = self._data.site(self._arm.eef_site_id["right"])
        return site.xpos.copy(), Rotation.from_matrix(site.xmat.reshape(3, 3))

    def _opening(self) -> float:
        finger = float(self._data.qpos[self._fingers[0]])
        share = (finger - self.finger_closed) / (self.finger_open - self.finger_closed)
        return float(np.clip(share, 0.0, 1.0))


def _make(robot: str, control_hz: int) -> Any:
    """Build the scene with robosuite's own controller, drawing switched off because we draw ourselves."""
    if "numba" not in sys.modules:
        os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # a first compilation takes longer than many episodes
    import robosuite
    from robosuite.controllers import load_composite_controller_config
    from robosuite.utils.placement_samplers import UniformRandomSampler

    controller = load_composite_controller_config(controller="BASIC", robot=robot)
    controller["body_parts"] = {"right": controller["body_parts"]["right"]}
    placement = UniformRandomSampler(
        name="ObjectSampler",
        x_range=[-SPREAD_M, SPREAD_M],
        y_range=[-SPREAD_M, SPREAD_M],
        rotation=(-np.pi / 4, np.pi / 4),
        ensure_object_boundary_in_range=False,
        ensure_valid_placement=True,
        reference_pos=np.array([0.0, 0.0, TABLE_M]),
        z_offset=0.01,
    )
    return robosuite.make(
        "Lift",
        robots=[robot],
        controller_configs=controller,
        placement_initializer=placement,
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        use_object_obs=False,
        control_freq=control_hz,
        horizon=100_000,
        ignore_done=True,
        hard_reset=False,
    )
