"""A rollout that a simulator must repeat: actions, the states they led to, and what the cameras saw.

Actions are played open loop, so that nothing corrects what a wrong convention does. Pictures are kept as the means of
16 x 16 blocks: a turned, mirrored, darker or recoloured picture differs in them, a JPEG of the same one does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dataengine.conventions import euler_to_matrix
from dataengine.spread import spread
from dataengine.vector_layout import VectorLayout
from pipelines.evaluation.simulators._base import Observation, Simulator, plays_to_end, step_limit

BLOCKS = 16
LOOKS = 5
CAMERAS = ("primary", "wrist", "wrist_2")


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """t actions from the start of a seed."""

    task: str
    seed: int
    actions: NDArray[np.float32]
    """(t, a) canonical"""
    states: NDArray[np.float32]
    """(t + 1, s) canonical, before the first action and after each; (t, s) where the last one was not recorded"""
    looks: Mapping[str, Mapping[int, NDArray[np.float32]]]
    """(16, 16, 3) mean grey levels by camera and step"""
    success_step: int
    """Actions after which the simulator called the task done; -1 where it never did, or no longer at the end of an
    episode that success does not end."""


class Deviation(BaseModel):
    """How far a simulator strays from a rollout, at most."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    task: str
    seed: int
    position_mm: float
    rotation_deg: float
    other: float
    """Of grippers, 0 closed to 1 open, and of joints in radians."""
    grey_levels: float
    """Mean over a picture, of the picture that differs most."""
    camera: str
    """That picture's."""
    success_step: int
    """Actions after which the task was done; -1 for never."""
    expected_success_step: int
    missing_cameras: list[str] = []


def seen(observation: Observation) -> dict[str, NDArray[np.float32]]:
    """Shrink the pictures of an observation to blocks."""
    pictures = {"primary": observation.image, "wrist": observation.wrist, "wrist_2": observation.wrist_2}
    return {camera: blocks(picture) for camera, picture in pictures.items() if picture is not None}


def blocks(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Average (height, width, 3) over 16 x 16 blocks, (16, 16, 3)."""
    rows, columns = (np.linspace(0, side, BLOCKS + 1).astype(int) for side in picture.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(picture.astype(np.float64), rows[:-1], axis=0), columns[:-1], axis=1)
    areas = np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None]
    return (sums / areas).astype(np.float32)


def steps_to_look(num_actions: int) -> list[int]:
    """Choose the steps whose pictures are kept, the first and the last among them."""
    return spread(num_actions + 1, LOOKS).tolist()


def record(simulator: Simulator, task: str, seed: int) -> Rollout:
    """Let the simulator's expert try; keep what it did, as canonical actions."""
    simulator.reset(seed)
    observations, actions, success = [simulator.observe()], list[NDArray[np.float32]](), False
    kind = type(simulator)
    while (not success or plays_to_end(kind)) and len(actions) < step_limit(kind, task):
        action = simulator.to_canonical(simulator.expert())
        success = simulator.step(simulator.to_raw(action))
        actions.append(action)
        observations.append(simulator.observe())
    looks: dict[str, dict[int, NDArray[np.float32]]] = {}
    for step in steps_to_look(len(actions)):
        for camera, picture in seen(observations[step]).items():
            looks.setdefault(camera, {})[step] = picture
    return Rollout(
        task=task,
        seed=seed,
        actions=np.stack(actions).astype(np.float32),
        states=np.stack([one.state for one in observations]),
        looks=looks,
        success_step=len(actions) if success else -1,
    )


def replay(simulator: Simulator, expected: Rollout, layout: VectorLayout) -> Deviation:
    """Play the actions of a rollout and say how far the simulator strays from it; `layout` is the states'."""
    simulator.reset(expected.seed)
    observations, success_step = [simulator.observe()], -1
    for i, action in enumerate(expected.actions):
        done = simulator.step(simulator.to_raw(action))
        success_step = i + 1 if done and success_step < 0 else success_step
        success_step = -1 if plays_to_end(type(simulator)) and not done else success_step
        observations.append(simulator.observe())
    states = np.stack([one.state for one in observations])[: len(expected.states)]
    grey, camera, missing = 0.0, "", set[str]()
    for name, by_step in expected.looks.items():
        for step, picture in by_step.items():
            mine = seen(observations[step])
            if name not in mine:
                missing.add(name)
                continue
            difference = float(np.abs(mine[name] - picture).mean())
            grey, camera = max((grey, camera), (difference, name))
    position, rotation, other = _deviations(states, expected.states, layout)
    return Deviation(
        task=expected.task,
        seed=expected.seed,
        position_mm=position,
        rotation_deg=rotation,
        other=other,
        grey_levels=grey,
        camera=camera,
        success_step=success_step,
        expected_success_step=expected.success_step,
        missing_cameras=sorted(missing),
    )


def _deviations(
    states: NDArray[np.float32], expected: NDArray[np.float32], layout: VectorLayout
) -> tuple[float, float, float]:
    """Give the largest distance of positions in mm, of rotations in degrees, and of all other values."""
    if states.shape != expected.shape:
        return float("inf"), float("inf"), float("inf")
    gap = states.astype(np.float64) - expected
    position = max(
        (np.linalg.norm(gap[:, arm.position], axis=1).max() for arm in layout.arms if arm.position), default=0
    )
    rotation = max((_angle(states, expected, arm.rotation) for arm in layout.arms if len(arm.rotation) == 3), default=0)
    known = {i for arm in layout.arms if len(arm.rotation) == 3 for i in (*arm.position, *arm.rotation)}
    rest = [i for i in range(layout.dim) if i not in known]
    other = float(np.abs(gap[:, rest]).max()) if rest else 0.0
    return 1000 * float(position), float(np.degrees(rotation)), other


def _angle(states: NDArray[np.float32], expected: NDArray[np.float32], indices: Sequence[int]) -> float:
    """Give the largest angle between two rotations told as roll, pitch and yaw."""
    turn = euler_to_matrix(states[:, indices]) @ euler_to_matrix(expected[:, indices]).swapaxes(-1, -2)
    # The sine of half the angle: an arc cosine of the trace would call rounding a hundredth of a degree.
    half = np.linalg.norm(turn - np.eye(3), axis=(-2, -1)) / np.sqrt(8.0)
    return float(2 * np.arcsin(np.clip(half, 0.0, 1.0)).max())
