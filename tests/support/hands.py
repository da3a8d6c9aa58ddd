"""Hands whose numbers tell their side, their joints and their frame."""

import numpy as np
from numpy.typing import NDArray

from dataengine.hands import Hand, Hands, Lens, Side

KNUCKLES_M = ((0.092, 0.026), (0.095, 0.002), (0.088, -0.019), (0.080, -0.042))
"""Of a right hand, palm down: forward, and to the left."""
BONES_M = (0.040, 0.025, 0.022)
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


def before_camera(side: Side, num_frames: int, step_m: float = 1e-4) -> NDArray[np.float64]:
    """Make (t, 21, 3) points half a metre before the camera, in its frame; the hand goes on by `step_m` in a frame."""
    centre = np.array([-0.12 if side == "left" else 0.12, 0.1, 0.5])
    moved = centre + np.arange(num_frames)[:, None] * np.array([0.0, 0.0, step_m])
    return hand_points(side) @ ROTATION.T + moved[:, None]


def frame_of(wrist_z_m: float, step_m: float = 1e-4) -> int:
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
