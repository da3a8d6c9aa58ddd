"""HO-Cap's hands: MANO, fitted to all nine views; numbers of every frame in the world of the table.

poses_m.npy   (2, n, 51)  [0] right, [1] left; all -1 where absent
    first 3               turn the whole hand             -> wrist's rotation, right hands only
    last 3                metres                          -> wrist's place; it is MANO's translation
poses_pv.npy  (n, 7)      quaternion xyzw, then metres    -> camera, for the view from the head
calibration/hololens/<serial>/personal_video/1000_<width>_<height>/intrinsics.bin  -> lens of it

The rest of poses_m are shares of MANO's model, which everybody must register for: points are left out. For cameras
around the table wrists stay in the world, without lens and pose: their calibration is not read.

Doubtful: conventions of left hands were not read anywhere, so that they have no rotation.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.formats import files, npy
from dataengine.hands import Hand, Hands, Lens, Side, Track
from dataengine.hands.mano import NOTE, turned_wrist

ABSENT = -1.0
SIDES: tuple[Side, ...] = ("right", "left")
SIZE = re.compile(r"\d+_(\d+)_(\d+)")
MAX_BYTES = 2**28


def read(sequence: Path, root: Path, rate_hz: float, head: str = "") -> Track | None:
    """Read the hands of a sequence, `head` being the serial of the HoloLens whose view is read; None without any.

    Raise RecordError when a file is damaged.
    """
    path = sequence / "poses_m.npy"
    if not path.is_file():
        return None
    poses = _array(path, root)
    if poses.ndim != 3 or poses.shape[0] != len(SIDES) or poses.shape[2] != 51 or not poses.shape[1]:
        raise RecordError(f"poses_m.npy has shape {poses.shape}, expected (2, n, 51)")
    camera = _camera(sequence / "poses_pv.npy", root, poses.shape[1]) if head else None
    hands = Hands(
        sides={side: _hand(side, poses[i]) for i, side in enumerate(SIDES)},
        source="mano",
        estimated=False,
        frame="world",
        camera=camera,
        lens=_lens(root / "calibration" / "hololens" / head / "personal_video", root) if head else None,
    )
    return Track(hands=hands, time_s=np.arange(poses.shape[1]) / rate_hz, slack_s=0.75 / rate_hz, notes=NOTE)


def _hand(side: Side, poses: NDArray) -> Hand:
    present = ~(poses == ABSENT).all(axis=1) & np.isfinite(poses).all(axis=1)
    wrist = np.full((len(poses), 7), np.nan, np.float32)
    wrist[present, :3] = poses[present, 48:]
    if side == "right":
        wrist[present, 3:] = turned_wrist(poses[present, :3])
    return Hand(present=present, confidence=np.full(len(poses), np.nan, np.float32), wrist=wrist)


def _camera(path: Path, root: Path, num_frames: int) -> NDArray[np.float32] | None:
    if not path.is_file():
        return None
    poses = _array(path, root)
    if poses.shape != (num_frames, 7):
        raise RecordError(f"poses_pv.npy has shape {poses.shape}, expected ({num_frames}, 7) as poses_m.npy")
    pose = np.concatenate([poses[:, 4:], poses[:, :4]], axis=1).astype(np.float32)
    unknown = ~np.isfinite(pose).all(axis=1) | (np.abs(np.linalg.norm(pose[:, 3:], axis=1) - 1) > 0.1)
    pose[unknown] = np.nan
    return pose


def _lens(folder: Path, root: Path) -> Lens | None:
    """Read the lens of a HoloLens: 4x4 of float32, of which fx is negative and the whole transposed."""
    path = next(iter(sorted(folder.glob("1000_*/intrinsics.bin"))), None)
    size = SIZE.fullmatch(path.parent.name) if path else None
    if path is None or size is None:
        return None
    data = files.read_bytes(files.inside(path, root), MAX_BYTES)
    if len(data) != 64:
        raise RecordError(f"{path.name} has {len(data)} bytes, expected 64")
    k = np.frombuffer(data, "<f4").reshape(4, 4)[:3, :3].astype(np.float64)
    k[0, 0] *= -1
    k = k.T
    width, height = (float(side) for side in size.groups())
    return Lens(k[0, 0] / width, k[1, 1] / height, k[0, 2] / width, k[1, 2] / height)


def _array(path: Path, root: Path) -> NDArray:
    array = npy.read(files.inside(path, root), MAX_BYTES)
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise RecordError(f"{path.name} is no array of floats")
    return array.astype(np.float64)
