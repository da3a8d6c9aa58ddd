"""House conventions for rotations and grippers, and the ways from others' conventions to them.

Quaternions are xyzw. Roll, pitch and yaw are extrinsic rotations about x, then y, then z (matrix Rz Ry Rx), in radians.
All functions take any leading dimensions. A gripper is 0 closed to 1 open. docs/decisions/0021_rotations.md says why
scipy does not do this: datasets hold matrices in float32, which it would straighten first.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

GIMBAL = 1e-7
"""Cosine of pitch below which roll and yaw are one rotation; all of it is called yaw."""


def quaternion_to_matrix(quaternion: ArrayLike) -> NDArray[np.float64]:
    """(..., 4) xyzw to (..., 3, 3); quaternions need not be normalised."""
    q = np.asarray(quaternion, dtype=np.float64)
    x, y, z, w = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_quaternion(matrix: ArrayLike) -> NDArray[np.float64]:
    """(..., 3, 3) to (..., 4) xyzw with w >= 0; NaN where the matrix has one."""
    (a, b, c), (d, e, f), (g, h, i) = np.moveaxis(np.asarray(matrix, dtype=np.float64), (-2, -1), (0, 1))
    products = (  # of the quaternion with itself, times four: its rows are the quaternion, each times one of its parts
        (1 + a - e - i, b + d, c + g, h - f),
        (b + d, 1 - a + e - i, f + h, c - g),
        (c + g, f + h, 1 - a - e + i, d - b),
        (h - f, c - g, d - b, 1 + a + e + i),
    )
    rows = np.stack([np.stack(row, axis=-1) for row in products], axis=-2)
    longest = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    q = np.take_along_axis(rows, longest[..., None, None], axis=-2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return np.where(q[..., 3:] < 0, -q, q)


def euler_to_matrix(euler: ArrayLike) -> NDArray[np.float64]:
    """(..., 3) roll pitch yaw to (..., 3, 3)."""
    angles = np.asarray(euler, dtype=np.float64)
    (cr, cp, cy), (sr, sp, sy) = np.moveaxis(np.cos(angles), -1, 0), np.moveaxis(np.sin(angles), -1, 0)
    rows = (
        (cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
        (sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
        (-sp, cp * sr, cp * cr),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_euler(matrix: ArrayLike) -> NDArray[np.float64]:
    """(..., 3, 3) to (..., 3) roll pitch yaw: roll and yaw in (-pi, pi], pitch in [-pi/2, pi/2]."""
    m = np.asarray(matrix, dtype=np.float64)
    cos_pitch = np.hypot(m[..., 0, 0], m[..., 1, 0])
    locked = cos_pitch < GIMBAL
    roll = np.where(locked, 0.0, np.arctan2(m[..., 2, 1], m[..., 2, 2]))
    pitch = np.arctan2(-m[..., 2, 0], cos_pitch)
    yaw = np.where(locked, np.arctan2(-m[..., 0, 1], m[..., 1, 1]), np.arctan2(m[..., 1, 0], m[..., 0, 0]))
    return np.stack([roll, pitch, yaw], axis=-1)


def euler_of_axes_to_euler(angles: ArrayLike, axes: str) -> NDArray[np.float64]:
    """(..., 3) angles about three axes, in the order in which `axes` names them, to (..., 3) roll pitch yaw.

    `axes` as scipy spells them: "zxy" turns about fixed axes one after another, "ZYX" about axes that turn along.
    """
    thirds = np.zeros((3, *np.shape(angles)))
    for i, axis in enumerate(axes.lower()):
        thirds[i, ..., "xyz".index(axis)] = np.asarray(angles)[..., i]
    first, second, third = axis_angle_to_matrix(thirds)
    return matrix_to_euler(first @ second @ third if axes.isupper() else third @ second @ first)


def quaternion_to_euler(quaternion: ArrayLike) -> NDArray[np.float64]:
    """(..., 4) xyzw to (..., 3) roll pitch yaw."""
    return matrix_to_euler(quaternion_to_matrix(quaternion))


def axis_angle_to_matrix(axis_angle: ArrayLike) -> NDArray[np.float64]:
    """(..., 3) axis times angle in radians to (..., 3, 3)."""
    vector = np.asarray(axis_angle, dtype=np.float64)
    half = np.linalg.norm(vector, axis=-1, keepdims=True) / 2
    return quaternion_to_matrix(np.concatenate([vector * np.sinc(half / np.pi) / 2, np.cos(half)], axis=-1))


def axis_angle_to_euler(axis_angle: ArrayLike) -> NDArray[np.float64]:
    """(..., 3) axis times angle in radians to (..., 3) roll pitch yaw."""
    return matrix_to_euler(axis_angle_to_matrix(axis_angle))


def turn_seen_from_base(pose: ArrayLike, turn: ArrayLike) -> NDArray[np.float64]:
    """Tell rotations (..., 3, 3) about a gripper's own axes as rotations about the base's; `pose` is the gripper's."""
    rotation = np.asarray(pose, dtype=np.float64)
    return rotation @ np.asarray(turn, dtype=np.float64) @ rotation.swapaxes(-1, -2)


def motion_between(poses: ArrayLike) -> NDArray[np.float64]:
    """Tell (t - 1, 6) motions that lead (t, 6) poses x y z roll pitch yaw each to the next, in the base's frame."""
    pose = np.asarray(poses, dtype=np.float64)
    rotation = euler_to_matrix(pose[:, 3:])
    turn = rotation[1:] @ rotation[:-1].swapaxes(-1, -2)
    return np.concatenate([np.diff(pose[:, :3], axis=0), matrix_to_euler(turn)], axis=1)


def wrap_angle(angle: ArrayLike) -> NDArray[np.float64]:
    """Bring radians to [-pi, pi): a difference of two angles must not jump by a full turn."""
    return (np.asarray(angle, dtype=np.float64) + np.pi) % (2 * np.pi) - np.pi


def open_from_closing(command: ArrayLike) -> NDArray[np.float64]:
    """Turn a command of -1 open to +1 closed into 0 closed to 1 open."""
    return np.clip((1.0 - np.asarray(command, dtype=np.float64)) / 2, 0.0, 1.0)


def open_from_opening(command: ArrayLike) -> NDArray[np.float64]:
    """Turn a command of -1 closed to +1 open into 0 closed to 1 open."""
    return np.clip((1.0 + np.asarray(command, dtype=np.float64)) / 2, 0.0, 1.0)


def open_from_relative(command: ArrayLike, dead_zone: float = 0.1) -> NDArray[np.float64]:
    """Integrate (t,) commands +1 close, -1 open, near 0 hold, into absolute 0 closed, 1 open.

    Before the first command the gripper is in the opposite state of what that command asks for; open without any.
    """
    command = np.asarray(command, dtype=np.float64)
    moves = np.flatnonzero(np.abs(command) > dead_zone)
    if not len(moves):
        return np.ones(len(command))
    targets = (command[moves] < 0).astype(np.float64)
    last_move = np.searchsorted(moves, np.arange(len(command)), side="right") - 1
    return np.where(last_move < 0, 1.0 - targets[0], targets[last_move])


def open_by_look_ahead(width: ArrayLike, closed: float = 0.05, opened: float = 0.95) -> NDArray[np.float64]:
    """Make (t,) widths 0..1 binary: what lies in between takes the next value that is decided.

    A tail that is never decided takes its last width, rounded.
    """
    width = np.asarray(width, dtype=np.float64)
    decided = np.flatnonzero((width < closed) | (width > opened))
    values = np.append((width[decided] > opened).astype(np.float64), float(width[-1] > 0.5) if len(width) else 0.0)
    return values[np.searchsorted(decided, np.arange(len(width)), side="left")]
