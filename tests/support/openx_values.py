"""What cases of Open X-Embodiment sets put into their published schemas: few steps, small pictures, drawn numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

T = 6
RNG = np.random.default_rng(11)
ORANGE, TEAL, PLUM, OLIVE = (230, 120, 20), (20, 140, 150), (120, 40, 110), (120, 130, 30)
ZERO = np.zeros((T, 3))

RELATIVE = np.array([0, 1, 0, 0, -1, 0], np.float32)
"""Commands +1 close, -1 open, 0 hold; REACHED is what they make of the gripper."""
REACHED = [1, 0, 0, 0, 1, 1]
CLOSES = np.array([-1, 1, 1, 1, 1, 1], np.float32)
"""A command of which +1 closes, seen in CLOSING_M; SHUT is what it asks of the gripper."""
CLOSING_M = np.array([0.08, 0.08, 0.06, 0.04, 0.02, 0.02], np.float32)
SHUT = [1, 0, 0, 0, 0, 0]
FLAGS = np.array([0, 1, 1, 0, 0, 1], np.float32)
"""A gripper that is told by 0 and 1."""
UNIT = np.array([0, 0.25, 0.5, 1, 0.75, 0.5], np.float32)
"""A gripper between its ends; NEXT is where it is a step later."""
NEXT = np.append(UNIT[1:], UNIT[-1])


def patch(colour: tuple[int, int, int], size: tuple[int, int] = (16, 24)) -> np.ndarray:
    """Flat pictures, of one colour."""
    return np.full((T, *size, 3), colour, np.uint8)


def numbers(*shape: int) -> np.ndarray:
    return RNG.normal(size=(T, *shape)).astype(np.float32)


def angles(n: int = 3) -> np.ndarray:
    """Far enough from where Euler angles lose a degree of freedom."""
    return RNG.uniform(-1.2, 1.2, (T, n)).astype(np.float32)


def turns() -> Rotation:
    return Rotation.random(T, random_state=int(RNG.integers(1000)))


def quaternions(rotation: Rotation) -> np.ndarray:
    """Unit quaternions xyzw."""
    return rotation.as_quat().astype(np.float32)


def rpy(rotation: Rotation) -> np.ndarray:
    return rotation.as_euler("xyz")


def roll_pitch_yaw(quaternion: np.ndarray) -> np.ndarray:
    return rpy(Rotation.from_quat(quaternion))


def poses(position: np.ndarray, rotation: Rotation, *, by_column: bool) -> np.ndarray:
    """4x4 homogeneous matrices; by column, as Franka's driver writes them."""
    pose = np.tile(np.eye(4, dtype=np.float32), (T, 1, 1))
    pose[:, :3, :3], pose[:, :3, 3] = rotation.as_matrix(), position
    return pose.swapaxes(1, 2).copy() if by_column else pose


def beside(*arrays: Any) -> np.ndarray:
    """Columns side by side."""
    return np.column_stack([np.reshape(a, (T, -1)) for a in arrays]).astype(np.float32)


def way(position: np.ndarray, rotation: Rotation) -> np.ndarray:
    """Motions from one pose to the next, as the base sees them: [x y z roll pitch yaw]."""
    return np.hstack([np.diff(position, axis=0), rpy(rotation[1:] * rotation[:-1].inv())])


def motion() -> dict[str, np.ndarray]:
    return {"world_vector": numbers(3), "rotation_delta": numbers(3)}


def rtx(text: str, observation: Mapping[str, Any], action: Mapping[str, Any]) -> dict[str, Any]:
    """Steps of a set that RT-X's authors converted."""
    end = {"terminate_episode": np.zeros(T, np.float32)}
    seen = {"natural_language_instruction": text, "natural_language_embedding": numbers(4)}
    return {"action": {**action, **end}, "observation": {**observation, **seen}}


def instructed(text: str, observation: Mapping[str, Any], action: Any, **more: Any) -> dict[str, Any]:
    """Steps of a set that was converted externally."""
    heard = {"language_instruction": text, "language_embedding": np.zeros((T, 512), np.float32)}
    return {"action": action, "observation": observation, **heard, **more}
