"""EgoDex's joints: a headset tracked 25 of each hand, and itself, in one world.

transforms/<joint>   (n, 4, 4)  metres; row k at frame k  -> keypoints; the wrist's rotation is made of points
transforms/camera    (n, 4, 4)  camera in the world       -> camera; its axes are OpenCV's, unlike ARKit's own
confidences/<joint>  (n,)       those of fingers are relative to the wrist's -> their product; absent in some files
camera/intrinsic     (3, 3)     pixels of 1920x1080       -> lens; the same in all files that were seen

A hand is present where the wrist's confidence is above 0, which is fully occluded.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.formats import hdf5
from dataengine.hands import Hand, Hands, Lens, Side, Track, geometry
from dataengine.hands.orders import apple_names

RATE_HZ = 30.0
WIDTH, HEIGHT = 1920, 1080
USUAL = ((736.6339, 0.0, 960.0), (0.0, 736.6339, 540.0), (0.0, 0.0, 1.0))
TRACKED: tuple[Side, ...] = ("left", "right")


def read(path: Path, num_frames: int) -> Track:
    """Read the hands of an episode whose video has so many frames (0 where its header does not say).

    Raise RecordError when the file lacks a joint, or rows of its arrays are no poses.
    """
    joints = [name for side in TRACKED for name in apple_names(side)]
    arrays = hdf5.read(
        path,
        ["transforms/camera", *(f"transforms/{name}" for name in joints)],
        ["camera/intrinsic", *(f"confidences/{name}" for name in joints)],
    )
    poses = {key: value for key, value in arrays.items() if key.startswith("transforms/")}
    for key, value in poses.items():
        if value.shape[1:] != (4, 4):
            raise RecordError(f"{path.name}: '{key}' has shape {value.shape}, expected (n, 4, 4)")
    num_rows = min(map(len, poses.values()))
    if not num_rows:
        raise RecordError(f"{path.name}: its transforms have no rows")
    notes = {}
    if num_frames and abs(num_rows - num_frames) > 1:
        notes["hands_doubt"] = "rows of joints are not as many as frames; they are taken frame by frame from the first"
    intrinsic = arrays.get("camera/intrinsic")
    if intrinsic is None or intrinsic.shape != (3, 3):
        intrinsic, notes["hands_lens"] = np.array(USUAL), "the file has none; that of the other files is taken"
    hands = Hands(
        sides={side: _hand(path, side, poses, arrays, num_rows) for side in TRACKED},
        source="tracker",
        estimated=False,
        frame="world",
        lens=Lens(
            float(intrinsic[0, 0] / WIDTH),
            float(intrinsic[1, 1] / HEIGHT),
            float(intrinsic[0, 2] / WIDTH),
            float(intrinsic[1, 2] / HEIGHT),
        ),
        camera=geometry.poses(poses["transforms/camera"][:num_rows]),
    )
    return Track(hands=hands, time_s=np.arange(num_rows) / RATE_HZ, slack_s=1 / RATE_HZ, notes=notes)


def _hand(path: Path, side: Side, poses: Mapping[str, NDArray], arrays: Mapping[str, NDArray], num_rows: int) -> Hand:
    names = apple_names(side)
    points = np.stack([poses[f"transforms/{name}"][:num_rows, :3, 3] for name in names], axis=1).astype(np.float32)
    trusted = [arrays[f"confidences/{name}"] for name in names if f"confidences/{name}" in arrays]
    present = np.asarray(np.isfinite(points).all(axis=(1, 2)))
    confidence = np.full(num_rows, np.nan, np.float32)
    if len(trusted) == len(names):
        if any(value.shape[0] < num_rows or value.ndim != 1 for value in trusted):
            raise RecordError(f"{path.name}: confidences have other rows than transforms")
        wrist, *fingers = (value[:num_rows] for value in trusted)
        confidence = (wrist * np.mean(fingers, axis=0)).astype(np.float32)
        present &= wrist > 0
    points[~present] = np.nan
    confidence[~present] = np.nan
    return Hand(present=present, confidence=confidence, keypoints=points, wrist=geometry.wrist_pose(points, side))
