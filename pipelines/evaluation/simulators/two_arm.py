"""robosuite's TwoArmLift: two Panda arms side by side lift a pot by its handles, at 30 Hz.

action  (14,)  per arm, left then right: dxyz (1 is 0.05 m), rotation vector (1 is 0.5 rad), gripper -1 opens, +1 closes
state   (16,)  joints of the left and of the right arm (rad), opening of both grippers, 0 closed to 1 open
                -> canonical state (14,): per arm xyz in metres, roll pitch yaw (extrinsic), opening

It stands in for AgiBot's two-armed robot: recordings take AgiBot's layout and say that they are simulated. Against
robosuite's own setting the pot is turned by at most 20 degrees, and wrist views leave out the arms' links: on a CPU
those cost most of the drawing.
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

HEIGHT, WIDTH = 480, 640
STEP_M, STEP_RAD = 0.05, 0.5
FINGERS_OPEN_M = 0.08
ABOVE_M, LIFT_M = 0.07, 0.20
CLOSE_STEPS = 8
SERVO_GAIN = 6.0
"""How far beyond a wanted next pose the controller is sent; from 3 to 15 the arms lag a recording by about 2 cm."""
LINK_GROUP = 2
DOWN = Rotation.from_quat([1.0, 0.0, 0.0, 0.0])


class TwoArm:
    """Two arms, a head camera and a camera in each hand."""

    name: ClassVar[str] = "two_arm"
    source: ClassVar[str] = "agibot"
    embodiment: ClassVar[str] = "agibot_g1"
    control_hz: ClassVar[float] = 30.0
    max_steps: ClassVar[int] = 150
    expert_noise: ClassVar[float] = 0.05
    tasks: ClassVar[Mapping[str, str]] = MappingProxyType({"lift-pot": "lift the pot by both handles"})

    def __init__(self, task: str) -> None:
        check_task(TwoArm, task)
        require_drawing()
        from pipelines.evaluation.simulators import _camera

        self.task = task
        self._draw = _camera.draw
        with quiet():
            self._env = _make()
        self._model, self._data = self._env.sim.model._model, self._env.sim.data._data
        self._views = {
            "head": _camera.free_camera((0.05, 0.0, 0.95), distance=1.25, azimuth=180.0, elevation=-40.0),
            "left": _camera.fixed_camera(self._model, "robot1_eye_in_hand"),
            "right": _camera.fixed_camera(self._model, "robot0_eye_in_hand"),
        }
        links = [i for i in range(self._model.nbody) if "_link" in self._model.body(i).name]
        drawn = self._model.geom_group == 1
        self._model.geom_group[np.isin(self._model.geom_bodyid, links) & drawn] = LINK_GROUP
        self.stage = 0
        """What the expert is at: 0 reach over the handles, 1 go down, 2 close, 3 lift."""
        self._waited = 0

    def reset(self, seed: int) -> None:
        """Begin the attempt of this seed."""
        random = np.random.default_rng(seed)
        self._env.rng = random
        self._env.placement_initializer.rng = random
        for robot in self._env.robots:
            robot.rng = random
        self._env.reset()
        self.stage, self._waited = 0, 0

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        """Act for one step of 33 ms."""
        left, right = np.clip(raw_action[:7], -1.0, 1.0), np.clip(raw_action[7:], -1.0, 1.0)
        self._env.step(np.concatenate([right, left]))  # robosuite's robot 0 is the right one
        return bool(self._env._check_success())

    def observe(self) -> Observation:
        """Draw the head's view and both hands'."""
        openings = self.openings()
        arms = [
            np.concatenate([position, rotation.as_euler("xyz"), [opening]])
            for (position, rotation), opening in zip(self.poses(), openings, strict=True)
        ]
        return Observation(
            image=self._picture("head"),
            wrist=self._picture("left"),
            wrist_2=self._picture("right"),
            raw_state=np.concatenate([self.joints(), openings]).astype(np.float32),
            state=np.concatenate(arms).astype(np.float32),
            embodiment=self.embodiment,
            control_hz=self.control_hz,
        )

    def expert(self) -> NDArray[np.float32]:
        """Both arms go above their handle, down, close, then lift together."""
        poses = self.poses()
        handles = (self._env._handle1_xpos, self._env._handle0_xpos)
        turn = Rotation.from_matrix(self._data.body(self._env.pot_body_id).xmat.reshape(3, 3)).as_euler("xyz")[2]
        turn = (turn + np.pi / 2) % np.pi - np.pi / 2  # the handle's bar has no front
        over = np.array([0.0, 0.0, ABOVE_M])
        if self.stage == 0 and all(np.linalg.norm(h + over - p[0]) < 0.02 for h, p in zip(handles, poses, strict=True)):
            self.stage = 1
        if self.stage == 1 and all(np.linalg.norm(h - p[0]) < 0.012 for h, p in zip(handles, poses, strict=True)):
            self.stage = 2
        if self.stage == 2:
            self._waited += 1
            self.stage = 3 if self._waited > CLOSE_STEPS else 2
        shift = {0: over, 1: np.zeros(3), 2: np.zeros(3), 3: np.array([0.0, 0.0, LIFT_M])}[self.stage]
        grip = 1.0 if self.stage >= 2 else -1.0
        wanted = Rotation.from_euler("z", turn + np.pi / 2) * DOWN  # the fingers close across the bar
        parts = [
            np.append(self._towards(pose, handle + shift, wanted, gain=3.0), grip)
            for pose, handle in zip(poses, handles, strict=True)
        ]
        return np.concatenate(parts).astype(np.float32)

    def to_raw(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn the wanted next poses of both arms (14,) into the controller's action."""
        parts = []
        for pose, arm in zip(self.poses(), (action[:7], action[7:]), strict=True):
            move = self._towards(pose, arm[:3], Rotation.from_euler("xyz", arm[3:6]), gain=SERVO_GAIN)
            parts.append(np.append(move, 1.0 - 2.0 * arm[6]))
        return np.concatenate(parts).astype(np.float32)

    def to_canonical(self, raw_action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Say where the controller would take both arms (14,)."""
        parts = []
        for (position, rotation), arm in zip(self.poses(), (raw_action[:7], raw_action[7:]), strict=True):
            turned = Rotation.from_rotvec(arm[3:6] * STEP_RAD / SERVO_GAIN) * rotation
            moved = position + arm[:3] * STEP_M / SERVO_GAIN
            parts.append(np.concatenate([moved, turned.as_euler("xyz"), [(1.0 - arm[6]) / 2.0]]))
        return np.concatenate(parts).astype(np.float32)

    def poses(self) -> tuple[tuple[NDArray[np.float64], Rotation], ...]:
        """Position in metres and rotation of the left and of the right gripper, in the world's frame."""
        sites = [self._data.site(robot.eef_site_id["right"]) for robot in self._arms()]
        return tuple((s.xpos.copy(), Rotation.from_matrix(s.xmat.reshape(3, 3))) for s in sites)

    def joints(self) -> NDArray[np.float64]:
        """Joint angles of the left and of the right arm, (14,) rad."""
        return np.concatenate([self._data.qpos[robot._ref_joint_pos_indexes] for robot in self._arms()])

    def openings(self) -> NDArray[np.float64]:
        """How far the left and the right gripper are open, (2,) from 0 to 1."""
        fingers = [self._data.qpos[robot._ref_gripper_joint_pos_indexes["right"]] for robot in self._arms()]
        return np.array([np.clip(np.abs(f).sum() / FINGERS_OPEN_M, 0.0, 1.0) for f in fingers])

    def _arms(self) -> tuple[Any, Any]:
        right, left = self._env.robots
        return left, right

    @staticmethod
    def _towards(
        pose: tuple[NDArray[np.float64], Rotation], position: NDArray, rotation: Rotation, gain: float
    ) -> NDArray[np.float64]:
        """Move one arm (6,) towards a pose."""
        turn = (rotation * pose[1].inv()).as_rotvec()
        return np.clip(gain * np.concatenate([(position - pose[0]) / STEP_M, turn / STEP_RAD]), -1.0, 1.0)

    def _picture(self, view: str) -> NDArray[np.uint8]:
        hidden = (0,) if view == "head" else (0, LINK_GROUP)  # group 0 holds the shapes that collide
        return self._draw(self.name, self._model, self._data, self._views[view], HEIGHT, WIDTH, hidden)


def _make() -> Any:
    """Build the scene with robosuite's own controller, drawing switched off because we draw ourselves."""
    if "numba" not in sys.modules:
        os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # a first compilation costs 10 to 35 s, plain numpy 6 ms a step
    import robosuite
    import robosuite.macros as macros
    from robosuite.controllers import load_composite_controller_config
    from robosuite.utils.placement_samplers import UniformRandomSampler

    macros.SIMULATION_TIMESTEP = 0.00208  # 16 substeps make a thirtieth of a second; robosuite's 0.002 makes 31.25 Hz
    controller = load_composite_controller_config(controller="BASIC", robot="Panda")
    controller["body_parts"] = {"right": controller["body_parts"]["right"]}
    placement = UniformRandomSampler(
        name="ObjectSampler",
        x_range=[-0.03, 0.03],
        y_range=[-0.03, 0.03],
        rotation=(np.pi - np.pi / 9, np.pi + np.pi / 9),
        ensure_object_boundary_in_range=False,
        ensure_valid_placement=True,
        reference_pos=np.array([0.0, 0.0, 0.8]),
    )
    return robosuite.make(
        "TwoArmLift",
        robots=["Panda", "Panda"],
        env_configuration="parallel",
        controller_configs=controller,
        placement_initializer=placement,
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        use_object_obs=False,
        control_freq=30,
        horizon=100_000,
        ignore_done=True,
        hard_reset=False,
    )
