"""Films people's hands at Meta-World's tasks, in the layout of EgoDex: synthetic, but what moves is what is seen.

The scripted experts play tasks that robots are not recorded at; the arm is not drawn, and a hand of skin-coloured bones
holds on where the gripper is, at the end of a forearm that turns about a shoulder. Thumb and index finger open as the
gripper does. The camera is another in every clip, and sways as a head does. The HDF5 has the joints, the camera and its
lens in EgoDex's terms (30 Hz, metres, pixels of 1920x1080); the video is 320x180.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataengine.whole_file import whole_file
from pipelines.evaluation.recording.something_something import SIMULATED
from pipelines.evaluation.video import write_video

RATE_HZ = 30
HEIGHT, WIDTH = 180, 320
LENS_HEIGHT, LENS_WIDTH = 1080, 1920
FOV_DEG = 45.0
FIRST_SEED = 700_000
HELD_OUT = 6
"""One of so many clips of a task lies in `test`."""
PLAYED = 0.4
"""Of the expert's speed: frames drawn at 20 Hz of the simulation are played at 30 Hz."""
MOST_STEPS, STILL_STEPS = 120, 6
ROBOT_GROUP = 5
"""Of geometry; MuJoCo does not draw it."""

KNUCKLES_M = ((0.092, 0.026), (0.095, 0.002), (0.088, -0.019), (0.080, -0.042))
"""Of a right hand, palm down: forward, and to the left."""
BONES_M = (0.040, 0.025, 0.022)
THUMB_OPEN_M = ((0.02, 0.03, 0.0), (0.05, 0.05, -0.01), (0.075, 0.062, -0.015), (0.10, 0.065, -0.02))
THUMB_CLOSED_M = ((0.02, 0.03, -0.005), (0.055, 0.045, -0.025), (0.09, 0.04, -0.045), (0.122, 0.030, -0.058))
CURL_RAD = (0.6, 0.2)
"""Of each joint of a finger, closed and open."""
LIFT_RAD = 0.5
"""A hand at a thing on the table points down by so much less than its forearm."""
SKIN, SLEEVE = (0.85, 0.64, 0.52, 1.0), (0.25, 0.35, 0.45, 1.0)
BONE_RADIUS_M, ARM_RADIUS_M = 0.013, 0.032


@dataclass(frozen=True)
class Clip:
    """One episode to film."""

    task: str
    number: int
    root: Path

    @property
    def video(self) -> Path:
        """Where its video lies; it is written last."""
        top = "test" if self.number % HELD_OUT == HELD_OUT - 1 else "part1"
        return self.root / top / self.task.replace("-", "_") / f"{self.number}.mp4"

    @property
    def side(self) -> str:
        """Three of four people are right-handed here."""
        return "left" if self.number % 4 == 3 else "right"


def clips(root: Path, each: int) -> list[Clip]:
    """List so many clips of each task."""
    return [Clip(task, number, root) for task in SIMULATED for number in range(each)]


def hand(side: str, opening: float) -> NDArray[np.float64]:
    """Make (21, 3) joints in the wrist's frame, metres: x to the fingers, z out of the back."""
    curl = opening * CURL_RAD[1] + (1 - opening) * CURL_RAD[0]
    thumb = opening * np.array(THUMB_OPEN_M) + (1 - opening) * np.array(THUMB_CLOSED_M)
    points = [np.zeros(3), *thumb]
    for forward, left in KNUCKLES_M:
        at = np.array([forward, left, 0.0])
        points.append(at)
        for i, bone in enumerate(BONES_M, 1):
            at = at + bone * np.array([np.cos(i * curl), 0.0, -np.sin(i * curl)])
            points.append(at)
    return np.array(points) * [1.0, -1.0 if side == "left" else 1.0, 1.0]


def held(side: str, opening: float, at: NDArray[np.float64], shoulder: NDArray[np.float64]) -> NDArray[np.float64]:
    """Place the hand (21, 3) in the world, thumb and index finger at `at`, the forearm coming from the shoulder."""
    forward = _unit(at - shoulder)
    across = _unit(np.cross([0.0, 0.0, 1.0], forward))
    back = np.cross(forward, across)
    x = np.cos(LIFT_RAD) * forward + np.sin(LIFT_RAD) * back
    rotation = np.stack([x, across, np.cross(x, across)], axis=1)
    points = hand(side, opening)
    pinch = (points[4] + points[8]) / 2
    return at + (points - pinch) @ rotation.T


@dataclass
class Head:
    """Where the camera is: it looks at a point of the table, and sways."""

    look_at: NDArray[np.float64]
    distance: float
    azimuth: float
    elevation: float
    phase: NDArray[np.float64]

    @classmethod
    def drawn(cls, random: np.random.Generator) -> "Head":
        return cls(
            np.array([0.0, 0.68, 0.12]) + random.normal(0.0, 0.03, 3),
            random.uniform(0.7, 0.95),
            random.uniform(30.0, 150.0) if random.random() < 0.5 else random.uniform(-110.0, -10.0),
            random.uniform(-50.0, -28.0),
            random.uniform(0, 2 * np.pi, 4),
        )

    def at(self, time_s: float) -> "Head":
        sway = np.sin(2 * np.pi * time_s * np.array([0.23, 0.31, 0.37, 0.29]) + self.phase)
        moved = self.look_at + 0.012 * np.array([sway[0], sway[1], 0.0])
        return Head(moved, self.distance, self.azimuth + 2.0 * sway[2], self.elevation + 1.5 * sway[3], self.phase)

    def pose(self) -> NDArray[np.float64]:
        """Give the camera (4, 4) in the world: x right, y down, z forward."""
        azimuth, elevation = np.radians([self.azimuth, self.elevation])
        level = np.cos(elevation)
        forward = np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])
        right = _unit(np.cross(forward, [0.0, 0.0, 1.0]))
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
        matrix[:3, 3] = self.look_at - self.distance * forward
        return matrix


def film(clip: Clip) -> None:
    """Film one clip, unless it is there; a seed at which the expert fails is followed by the next."""
    if clip.video.exists():
        return
    from pipelines.evaluation.simulators.metaworld import Metaworld

    simulator = Metaworld(clip.task)
    model = simulator._env.model
    inside = _descend(model, model.body("base").id)
    model.geom_group[np.isin(model.geom_bodyid, inside)] = ROBOT_GROUP
    seed = FIRST_SEED + 1000 * clip.number
    while (filmed := _filmed(simulator, clip, seed)) is None:
        seed += 1
    frames, joints, cameras = filmed
    clip.video.parent.mkdir(parents=True, exist_ok=True)
    _write_joints(clip, joints, cameras, simulator.tasks[clip.task])
    write_video(clip.video, frames, RATE_HZ, "libx264")


def _filmed(simulator: Any, clip: Clip, seed: int) -> tuple[list[Any], NDArray[np.float64], NDArray[np.float64]] | None:
    random = np.random.default_rng(seed)
    head = Head.drawn(random)
    eye = head.pose()
    aside = 0.22 if clip.side == "right" else -0.22
    shoulder = eye[:3, 3] + aside * eye[:3, 0] + np.array([0.0, 0.0, -0.35])
    pace = PLAYED * SIMULATED[clip.task].pace * random.uniform(0.8, 1.3) / 0.5
    simulator.reset(seed)
    frames, joints, cameras = [], [], []
    step, finish = 0, None
    while step < MOST_STEPS and (finish is None or step < finish + STILL_STEPS):
        now = head.at(step / RATE_HZ)
        opening = float(np.clip(simulator._inside[3], 0.0, 1.0))
        points = held(clip.side, opening, np.array(simulator._env.tcp_center), shoulder)
        frames.append(_drawn(simulator, now, points, shoulder))
        joints.append(points)
        cameras.append(now.pose())
        action = simulator.expert()
        action[:3] *= min(pace, 1.0) if step >= STILL_STEPS and finish is None else 0.0
        if simulator.step(action) and finish is None:
            finish = step
        step += 1
    return (frames, np.array(joints), np.array(cameras)) if finish is not None else None


def _drawn(simulator: Any, head: Head, points: NDArray[np.float64], shoulder: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Draw the scene with a hand in it."""
    import mujoco

    from pipelines.evaluation.simulators import _camera

    env = simulator._env
    key = (env.model_name, HEIGHT, WIDTH)
    if key not in _camera._RENDERERS:
        env.model.vis.global_.fovy = FOV_DEG
        _camera._RENDERERS[key] = _camera._open(env.model, HEIGHT, WIDTH)
    renderer = _camera._RENDERERS[key]
    view = _camera.free_camera(head.look_at, head.distance, head.azimuth, head.elevation)
    everything = mujoco.mjtCatBit.mjCAT_ALL
    mujoco.mjv_updateScene(env.model, env.data, mujoco.MjvOption(), None, view, everything, renderer.scene)
    for first in (1, 5, 9, 13, 17):
        for a, b in zip((0, first, first + 1, first + 2), range(first, first + 4), strict=True):
            _bone(renderer.scene, points[a], points[b], BONE_RADIUS_M, SKIN)
    for a, b in ((5, 9), (9, 13), (13, 17), (17, 0)):
        _bone(renderer.scene, points[a], points[b], BONE_RADIUS_M * 1.3, SKIN)
    _bone(renderer.scene, points[0], points[0] + 0.75 * (shoulder - points[0]), ARM_RADIUS_M, SLEEVE)
    return renderer.render().copy()


def _bone(scene: Any, start: NDArray[np.float64], end: NDArray[np.float64], radius_m: float, colour: Any) -> None:
    import mujoco

    geom, capsule = scene.geoms[scene.ngeom], mujoco.mjtGeom.mjGEOM_CAPSULE
    mujoco.mjv_initGeom(geom, capsule, np.zeros(3), np.zeros(3), np.eye(3).ravel(), np.array(colour, np.float32))
    mujoco.mjv_connector(geom, capsule, radius_m, start, end)
    scene.ngeom += 1


def _write_joints(clip: Clip, joints: NDArray[np.float64], cameras: NDArray[np.float64], text: str) -> None:
    import h5py

    from dataengine.hands.orders import apple_names

    focal = LENS_HEIGHT / 2 / np.tan(np.radians(FOV_DEG) / 2)
    with whole_file(clip.video.with_suffix(".hdf5")) as partial, h5py.File(partial, "w") as file:
        file.attrs["llm_description"] = text
        file.attrs["session_name"] = f"{clip.task}-{clip.number}"
        file["transforms/camera"] = cameras.astype(np.float32)
        file["camera/intrinsic"] = np.array(
            [[focal, 0, LENS_WIDTH / 2], [0, focal, LENS_HEIGHT / 2], [0, 0, 1]], np.float32
        )
        for side in ("left", "right"):
            for i, name in enumerate(apple_names(side)):
                matrices = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
                matrices[:, :3, 3] = joints[:, i]
                file[f"transforms/{name}"] = matrices
                file[f"confidences/{name}"] = np.full(len(joints), float(side == clip.side), np.float32)


def _descend(model: Any, top: int) -> list[int]:
    """List a body and all that hang on it."""
    bodies = [top]
    for body in range(top + 1, model.nbody):
        if model.body_parentid[body] in bodies:
            bodies.append(body)
    return bodies


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)
