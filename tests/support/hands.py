"""Hands whose numbers tell their side, their joints and their frame."""

import numpy as np
from numpy.typing import NDArray

from dataengine.conventions import axis_angle_to_matrix
from dataengine.hands import Hand, Hands, Lens, Side
from dataengine.hands.geometry import in_camera

KNUCKLES_M = ((0.092, 0.026), (0.095, 0.002), (0.088, -0.019), (0.080, -0.042))
"""Of a right hand, palm down: forward, and to the left."""
BONES_M = (0.040, 0.025, 0.022)
STEP_M = 2e-4
"""A hand goes on by this in a frame: its distance from the camera tells the frame."""
THUMB_M = ((0.02, 0.03, 0.0), (0.05, 0.05, -0.01), (0.075, 0.062, -0.015), (0.10, 0.065, -0.02))


def hand_points(side: Side, curl_rad: float = 0.4) -> NDArray[np.float64]:
    """Make (21, 3) points, metres, wrist at 0: x to the fingers, z out of the back; each joint of a finger bends so."""
    points = [np.zeros(3), *map(np.array, THUMB_M)]
    for forward, left in KNUCKLES_M:
        at, angle = np.array([forward, left, 0.0]), 0.0
        points.append(at)
        for bone in BONES_M:
            angle += curl_rad
            at = at + bone * np.array([np.cos(angle), 0.0, -np.sin(angle)])
            points.append(at)
    mirrored = np.array([1.0, -1.0 if side == "left" else 1.0, 1.0])
    return np.array(points) * mirrored


ROTATION = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""A hand that points away from the camera, palm down: its x is the camera's z, its z the camera's -y."""


def before_camera(side: Side, num_frames: int, step_m: float = STEP_M) -> NDArray[np.float64]:
    """Make (t, 21, 3) points half a metre before the camera, in its frame; the hand goes on by `step_m` in a frame."""
    centre = np.array([-0.12 if side == "left" else 0.12, 0.1, 0.5])
    moved = centre + np.arange(num_frames)[:, None] * np.array([0.0, 0.0, step_m])
    return hand_points(side) @ ROTATION.T + moved[:, None]


def camera_poses(num_frames: int) -> NDArray[np.float64]:
    """Make (t, 4, 4) poses of a camera that turns and walks, its axes OpenCV's."""
    pose = np.tile(np.eye(4), (num_frames, 1, 1))
    turn = np.arange(num_frames)[:, None] * np.array([0.001, 0.003, 0.002]) + [0.3, 1.0, -0.5]
    pose[:, :3, :3] = axis_angle_to_matrix(turn)
    pose[:, :3, 3] = [1.0, 1.6, -0.4] + np.arange(num_frames)[:, None] * np.array([0.002, 0.0, -0.003])
    return pose


def in_world(points: NDArray[np.float64], poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring points (t, n, 3) of a camera's frame into the world."""
    return np.einsum("tij,tnj->tni", poses[:, :3, :3], points) + poses[:, None, :3, 3]


def frame_numbers(hands: Hands, side: Side) -> list[int | None]:
    """Read off the hands (t,) which frame each step is of; None where the hand is absent."""
    hand = hands.sides[side]
    assert hand.keypoints is not None
    seen = in_camera(hand.keypoints, hands.frame or "camera", hands.camera)[:, 0, 2]
    return [frame_of(z) if there else None for z, there in zip(seen, hand.present, strict=True)]


def frame_of(wrist_z_m: float, step_m: float = STEP_M) -> int:
    """Read the frame off a wrist's distance."""
    return round((float(wrist_z_m) - 0.5) / step_m)


def some_hands(num_steps: int, absent: int = 0) -> Hands:
    """Make both hands in the camera's frame; the left one is absent at the first `absent` steps."""
    sides: dict[Side, Hand] = {}
    for side, missing in (("left", absent), ("right", 0)):
        present = np.arange(num_steps) >= missing
        points = before_camera(side, num_steps).astype(np.float32)  # type: ignore[arg-type]
        points[~present] = np.nan
        confidence = np.where(present, 0.75, np.nan).astype(np.float32)
        wrist = np.concatenate([points[:, 0], np.tile([0, 0, 0, 1], (num_steps, 1))], axis=1).astype(np.float32)
        wrist[~present] = np.nan
        sides[side] = Hand(present=present, confidence=confidence, keypoints=points, wrist=wrist)  # type: ignore[index]
    return Hands(sides=sides, source="tracker", estimated=False, frame="camera", lens=Lens(0.5, 0.75, 0.5, 0.5))
