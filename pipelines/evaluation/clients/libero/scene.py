"""One LIBERO task in MuJoCo: how an episode begins, what is seen, what a step does.

Runs in the simulator's own environment (`make sim-libero`): standard library and numpy only, LIBERO itself inside.

Picture     (side, side, 3) uint8 RGB, both cameras turned by 180 degrees, as all who train on LIBERO turn them
state       (8,)  x y z in metres, axis times angle in radians, two finger positions in metres (0..0.04, -0.04..0)
action      (7,)  -1..1: x y z of 0.05 m, axis times angle of 0.5 rad, in a step; gripper -1 opens, +1 closes; 20 Hz
"""

import functools
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipelines.evaluation.clients.broken import BrokenError, why_broken
from pipelines.evaluation.clients.drawing import choose_backend, drawing_fault

choose_backend()

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90")
SETTLE = np.array([0, 0, 0, 0, 0, 0, -1.0])
"""What is done while objects come to rest: stand still, hand open."""
INIT_SETS = ("official", "random", "wide")
OFFICIAL_SEED = 7
"""Of the reset before an official start is put on top, as openpi has it."""
MARGIN_M = 0.015
"""Between the footprints of two objects of a wide start."""
WIDE_X, WIDE_Y = (-0.24, 0.19), (-0.28, 0.10)
"""Where objects of a wide start lie, in metres: what the official layouts span, and the gaps between."""


@dataclass(frozen=True)
class View:
    """What robot and cameras say at one instant."""

    image: NDArray[np.uint8]
    """(side, side, 3) as LIBERO renders it: upside down."""
    wrist: NDArray[np.uint8]
    position: NDArray[np.float64]
    """(3,) of the hand, metres."""
    rotation: NDArray[np.float64]
    """(3,) of the hand, axis times angle, radians."""
    fingers: NDArray[np.float64]
    """(2,) metres"""
    joints: NDArray[np.float64]
    """(7,) radians"""

    @property
    def state(self) -> NDArray[np.float32]:
        """(8,) what policies for LIBERO read."""
        return np.concatenate([self.position, self.rotation, self.fingers]).astype(np.float32)


def upright(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn a picture by 180 degrees."""
    return np.ascontiguousarray(image[::-1, ::-1])


def axis_angle(quat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn a quaternion xyzw into axis times angle, as LIBERO's recorder does: its sign stays, angles reach 2 pi."""
    w = float(np.clip(quat[3], -1.0, 1.0))
    sine = np.sqrt(1.0 - w * w)
    return np.zeros(3) if sine < 1e-8 else quat[:3] * 2.0 * np.arccos(w) / sine


def make_scene(suite: str, task: int | str, **settings: Any) -> "Scene":
    """Set up a task; raise BrokenError, with what to do, where what it is made of is missing or cannot draw."""
    try:
        return Scene(suite, task, **settings)
    except NoTaskError:
        raise
    except ImportError as error:
        raise BrokenError(why_broken(error, Path(sys.prefix), "libero")) from error
    except Exception as error:
        raise BrokenError(drawing_fault() or why_broken(error, Path(sys.prefix), "libero")) from error


class NoTaskError(ValueError):
    """The suite has no such task."""


class Scene:
    """One task of one suite."""

    def __init__(
        self,
        suite: str,
        task: int | str,
        *,
        side: int = 128,
        quality: str = "full",
        cameras: bool = True,
        control_hz: float = 20.0,
        camera_turn_deg: float = 0.0,
    ) -> None:
        """`task` is its number in the suite or its name.

        `quality` is `full`, as the benchmark renders, or `fast`: no shadows, reflections and smoothed edges. Another
        rate and a turned camera are for those who ask what a calibration notices.
        """
        self._camera_turn = np.radians(camera_turn_deg)
        with quiet():
            from libero.libero import benchmark, get_libero_path
            from libero.libero.envs import OffScreenRenderEnv

            _set_rendering(quality)
            tasks = benchmark.get_benchmark_dict()[suite]()
            names = tasks.get_task_names()
            if isinstance(task, str) and task not in names:
                raise NoTaskError(f"{suite} has no task '{task}'")
            task = names.index(task) if isinstance(task, str) else task
            self.task = tasks.get_task(task)
            self.bddl = Path(get_libero_path("bddl_files"), self.task.problem_folder, self.task.bddl_file).resolve()
            self.official = np.asarray(tasks.get_task_init_states(task))
            """(50, s) the benchmark's own starts."""
            kwargs = {"use_camera_obs": False} if not cameras else {}
            self._env = OffScreenRenderEnv(
                bddl_file_name=str(self.bddl),
                camera_heights=side,
                camera_widths=side,
                control_freq=control_hz,
                **kwargs,
            )
        self.instruction = str(self.task.language)
        self._cameras = cameras
        self._looks = True
        self._seen: Mapping[str, Any] = {}

    @property
    def problem(self) -> str:
        """Name of LIBERO's class of the task."""
        return str(self._env.problem_name)

    @property
    def inner(self) -> Any:
        """LIBERO's own environment, for those who look into it."""
        return self._env.env

    @property
    def sim(self) -> Any:
        """The simulation."""
        return self._env.sim

    @property
    def physics(self) -> NDArray[np.float64]:
        """(1 + nq + nv,) time, positions and velocities of everything."""
        return np.asarray(self._env.get_sim_state())

    def begin(self, init_set: str, index: int, *, settle: int = 10, reset: bool = True) -> View:
        """Begin an episode: `official` start number so-and-so, or the `random` or `wide` one of a seed.

        A start is put on top of a reset: without one the controller and the fingers keep what the episode before left.
        """
        if reset:
            seed = OFFICIAL_SEED if init_set == "official" else index
            with quiet():
                self._env.seed(seed)
                np.random.seed(seed)  # LIBERO draws where objects lie from it
                self._seen = self._env.reset()
            self._watch()
            if self._camera_turn:
                self._turn_camera()
        if init_set == "official":
            self.put(self.official[index % len(self.official)])
        elif init_set == "wide":
            self.put(_widened(self, np.random.default_rng(index)))
        return self.settle(settle)

    def put(self, physics: NDArray[np.float64]) -> View:
        """Set positions and velocities of everything."""
        with quiet():
            self._seen = self._env.set_init_state(physics)
        return self.view()

    def settle(self, steps: int) -> View:
        """Let objects come to rest."""
        for i in range(steps):
            self.step(SETTLE, look=i == steps - 1)
        return self.view()

    def step(self, action: Sequence[float] | NDArray, *, look: bool = True) -> tuple[View, bool]:
        """Act for one control step; say whether the task is solved.

        Without `look` the cameras draw nothing, which saves most of a step: nobody will see what this one shows.
        """
        self._looks = look
        try:
            self._seen, _, done, _ = self._env.step(np.asarray(action, np.float64))
        finally:
            self._looks = True
        return self.view(), bool(done)

    def _watch(self) -> None:
        """Let cameras draw only when somebody looks; all else of an observation, its moment too, stays as it is.

        robosuite samples an observation at a substep that depends on how often it was asked for one before, so drawing
        after the step could show another moment.
        """
        for name in ("agentview_image", "robot0_eye_in_hand_image") if self._cameras else ():
            camera = self.inner._observables[name]
            camera._sensor = self._when_looked(camera._sensor)

    def _turn_camera(self) -> None:
        """Turn the camera at the side about its own vertical axis."""
        camera = self.sim.model.camera_name2id("agentview")
        w, x, y, z = self.sim.model.cam_quat[camera]
        half = self._camera_turn / 2
        turned = Rotation.from_quat([x, y, z, w]) * Rotation.from_quat([0, np.sin(half), 0, np.cos(half)])
        x, y, z, w = turned.as_quat()
        self.sim.model.cam_quat[camera] = w, x, y, z

    def _when_looked(self, draw: Any) -> Any:
        black = np.zeros((1, 1, 3), np.uint8)
        return functools.wraps(draw)(lambda cache: draw(cache) if self._looks else black)

    def view(self) -> View:
        """Look."""
        seen = self._seen
        black = np.zeros((1, 1, 3), np.uint8)
        return View(
            seen.get("agentview_image", black),
            seen.get("robot0_eye_in_hand_image", black),
            np.array(seen["robot0_eef_pos"]),
            axis_angle(np.asarray(seen["robot0_eef_quat"])),
            np.array(seen["robot0_gripper_qpos"]),
            np.array(seen["robot0_joint_pos"]),
        )

    def movable(self) -> list[str]:
        """Name the objects that are not fixed."""
        return list(self.inner.objects_dict)

    def pose(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where a body is: position (3,) and rotation matrix (3, 3)."""
        body = self.inner.obj_body_id[name]
        return self.sim.data.body_xpos[body].copy(), self.sim.data.body_xmat[body].reshape(3, 3).copy()

    def points(self, name: str) -> NDArray[np.float64]:
        """(n, 3) corners of all that collides of an object, in the world."""
        from pipelines.evaluation.clients.libero.shapes import corners

        return corners(self.sim, self.inner.obj_body_id[name])

    def close(self) -> None:
        """Give up the drawing context."""
        with quiet():
            self._env.close()


class quiet:  # noqa: N801  (a context manager reads as a verb)
    """Silence what LIBERO prints: standard output belongs to our own messages."""

    def __enter__(self) -> None:
        self._nowhere = Path(os.devnull).open("w", encoding="utf-8")
        self._redirected = redirect_stdout(self._nowhere)
        self._redirected.__enter__()

    def __exit__(self, *_: object) -> None:
        self._redirected.__exit__(None, None, None)
        self._nowhere.close()


def _set_rendering(quality: str) -> None:
    """Make robosuite render in this quality, and textures as bright as before MuJoCo 3.3.3.

    Newer models carry a colour space; what they do not call linear is drawn darker, by 36 of 255 in LIBERO's scenes.
    """
    import mujoco
    from robosuite.utils.binding_utils import MjRenderContext

    plain = getattr(MjRenderContext, "_plain_init", MjRenderContext.__init__)
    MjRenderContext._plain_init = plain

    def init(self: Any, sim: Any, *args: Any, **kwargs: Any) -> None:
        model = sim.model._model
        if hasattr(model, "tex_colorspace"):
            model.tex_colorspace[:] = int(mujoco.mjtColorSpace.mjCOLORSPACE_LINEAR)
        if quality == "fast":
            model.vis.quality.offsamples = 0
        plain(self, sim, *args, **kwargs)
        if quality == "fast":
            self.scn.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            self.scn.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0

    MjRenderContext.__init__ = init


def _widened(scene: Scene, random: np.random.Generator) -> NDArray[np.float64]:
    """Lay all objects but the basket anywhere on the floor, clear of one another; only eyes tell where.

    Raise RuntimeError where none of many tries is clear.
    """
    physics = scene.physics
    names = [name for name in scene.movable() if not name.startswith("basket")]
    sizes = {name: np.ptp(scene.points(name)[:, :2], axis=0) / 2 for name in names}
    for _ in range(200):
        centres = {name: np.array([random.uniform(*WIDE_X), random.uniform(*WIDE_Y)]) for name in names}
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        apart = [np.abs(centres[a] - centres[b]) - sizes[a] - sizes[b] for a, b in pairs]
        if all(gap.max() > MARGIN_M for gap in apart):
            break
    else:
        raise RuntimeError("found no clear layout in 200 tries")
    model = scene.sim.model
    for name, centre in centres.items():
        start = model.get_joint_qpos_addr(scene.inner.objects_dict[name].joints[0])[0]
        physics[1 + start : 3 + start] += centre - scene.pose(name)[0][:2]
    return physics
