"""Geometry of hands: one frame of the wrist for all sources, the opening of the grasp, and where a camera sees points.

Publishers turn their wrists by conventions of their own (ARKit, OpenXR, MANO). What follows from points alone is the
same for all: x from the wrist to the middle finger's knuckle, z out of the back of the hand, y = z x x.
"""

import numpy as np
from numpy.typing import NDArray

from dataengine.conventions import matrix_to_quaternion, quaternion_to_matrix
from dataengine.hands.hands import Frame, Hand, Hands, Lens, Side
from dataengine.hands.orders import INDEX_MCP, INDEX_TIP, LITTLE_MCP, MIDDLE_MCP, THUMB_TIP, WRIST

FLAT_M2 = 5e-4
"""Wrist, index and little knuckle that span less than this, as a cross product, give no palm; real ones span 6e-3."""
CLOSED, OPEN = 0.2, 1.0
"""Distance of the tips of thumb and index finger, over the length of the palm, that counts as closed and as open: some
2 and 10 cm. No work that was read says which constants it takes; these are ours."""


def back_of_hand(keypoints: NDArray, side: Side) -> NDArray[np.float64]:
    """Tell the direction (..., 3) out of the back of the hand, as long as twice the palm's triangle; NaN if unknown."""
    points = np.asarray(keypoints, np.float64)
    wrist = points[..., WRIST, :]
    across = np.cross(points[..., INDEX_MCP, :] - wrist, points[..., LITTLE_MCP, :] - wrist)
    if side == "unknown":
        return np.full_like(across, np.nan)
    return across if side == "left" else -across


def wrist_pose(keypoints: NDArray, side: Side) -> NDArray[np.float32]:
    """(..., 21, 3) points of a hand to (..., 7): the wrist's place and its rotation by points, xyzw.

    The rotation is NaN where the points lie on a line or the side is unknown.
    """
    points = np.asarray(keypoints, np.float64)
    back = back_of_hand(points, side)
    size = np.linalg.norm(back, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        back = np.where(size >= FLAT_M2, back / size, np.nan)
        x = points[..., MIDDLE_MCP, :] - points[..., WRIST, :]
        x = x / np.linalg.norm(x, axis=-1, keepdims=True)
        y = np.cross(back, x)
        y = y / np.linalg.norm(y, axis=-1, keepdims=True)
    rotation = matrix_to_quaternion(np.stack([x, y, np.cross(x, y)], axis=-1))
    return np.concatenate([points[..., WRIST, :], rotation], axis=-1).astype(np.float32)


def opening(keypoints: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(t, 21, d) points to (t,) opening of thumb and index finger, 0 closed to 1 open, and (t,) distance of their tips.

    The distance is in the unit of the points (metres; in two dimensions it shrinks with the view), and the opening
    relates it to the palm's median length over all steps. NaN where the hand is absent.
    """
    points = np.asarray(keypoints, np.float64)
    tips = np.linalg.norm(points[:, THUMB_TIP] - points[:, INDEX_TIP], axis=-1)
    palm = np.linalg.norm(points[:, MIDDLE_MCP] - points[:, WRIST], axis=-1)
    known = palm[np.isfinite(palm)]
    length = float(np.median(known)) if len(known) else np.nan
    share = (tips / length - CLOSED) / (OPEN - CLOSED) if length else np.full_like(tips, np.nan)
    return np.clip(share, 0.0, 1.0).astype(np.float32), tips.astype(np.float32)


def poses(matrices: NDArray) -> NDArray[np.float32]:
    """(..., 4, 4) to (..., 7) position and quaternion xyzw."""
    m = np.asarray(matrices, np.float64)
    return np.concatenate([m[..., :3, 3], matrix_to_quaternion(m[..., :3, :3])], axis=-1).astype(np.float32)


def in_camera(points: NDArray, frame: Frame, camera: NDArray | None) -> NDArray[np.float64]:
    """Bring points (t, n, 3) of a frame into the camera's; raise ValueError where its pose (t, 7) is not known."""
    if frame == "camera":
        return np.asarray(points, np.float64)
    if camera is None:
        raise ValueError("points of the world without a pose of the camera")
    rotation = quaternion_to_matrix(camera[:, 3:])  # camera to world
    return np.einsum("tji,tnj->tni", rotation, np.asarray(points, np.float64) - camera[:, None, :3])


def project(points: NDArray, lens: Lens) -> NDArray[np.float64]:
    """Points (..., 3) in the camera's frame to (..., 2) shares of the picture; NaN behind it."""
    x, y, z = np.moveaxis(np.asarray(points, np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = np.where(z > 0, x / z, np.nan), np.where(z > 0, y / z, np.nan)
        if lens.model == "fisheye":
            radius = np.hypot(a, b)
            angle = np.arctan(radius)
            bent = angle * (1 + sum(k * angle ** (2 * i + 2) for i, k in enumerate(lens.distortion)))
            scale = np.where(radius > 0, bent / radius, 1.0)
            a, b = a * scale, b * scale
    return np.stack([lens.fx * a + lens.cx, lens.fy * b + lens.cy], axis=-1)


def in_picture(hands: Hands, side: Side) -> NDArray[np.float64] | None:
    """Tell where (t, 2) the wrist of a side is in the picture, in shares; NaN where it is absent or behind the camera.

    None where the numbers do not tell: no points, or metres without lens or pose of the camera.
    """
    hand = hands.sides[side]
    if hand.keypoints_2d is not None:
        return hand.keypoints_2d[:, WRIST].astype(np.float64)
    points = _wrist(hand)
    if points is None or hands.lens is None or hands.frame is None:
        return None
    if hands.frame == "world" and hands.camera is None:
        return None
    return project(in_camera(points[:, None], hands.frame, hands.camera)[:, 0], hands.lens)


def _wrist(hand: Hand) -> NDArray[np.float32] | None:
    if hand.keypoints is not None:
        return hand.keypoints[:, WRIST]
    return None if hand.wrist is None else hand.wrist[:, :3]
