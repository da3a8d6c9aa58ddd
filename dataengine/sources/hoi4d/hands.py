"""HOI4D's hands: MANO, fitted to pictures and depth; a pickle for each frame in which there is a hand.

handpose/refinehandpose_right/<sequence>/<frame>.pickle      7.pickle or 00007.pickle;
                                                             or Hand_pose/handpose_{right,left}_hand/<sequence>/...
kps2D      (21, 2)  pixels of 1920x1080, our order          -> keypoints_2d
trans      (3,)     metres, in the camera's frame            -> wrist's place
poseCoeff  (48,)    of which the first 3 turn the whole hand -> wrist's rotation, right hands only
camera_params/<camera>/intrin.npy  (3, 3) pixels             -> lens

Points in metres need MANO's own model, which everybody must register for: they are left out. MANO's `trans` is not the
wrist but some 10 cm from it, the same way and as far at all times. Its rotation is that of a model whose fingers point
along -x with the palm down; it is turned to our axes, and left out with a note where fingers in the picture point
elsewhere.

Doubtful: conventions of left hands were not read anywhere, so that they have no rotation.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.formats import files, npy
from dataengine.hands import Hand, Hands, Lens, Side, Track
from dataengine.hands.mano import NOTE, agrees, turned_wrist

FOLDERS: dict[Side, tuple[str, ...]] = {
    "left": ("handpose/refinehandpose_left", "Hand_pose/handpose_left_hand"),
    "right": ("handpose/refinehandpose_right", "Hand_pose/handpose_right_hand"),
}
LENS = "camera_params/{camera}/intrin.npy"
SIZE = np.array([1920.0, 1080.0])
MAX_BYTES = 2**20
MOST_FRAMES = 100_000
SHAPES = {"kps2D": (21, 2), "trans": (3,), "poseCoeff": (48,)}


def read(tops: Sequence[Path], sequence: str, root: Path, rate_hz: float) -> Track | None:
    """Read the hands of a sequence, whose video has so many frames in a second; None where there are none.

    Raise RecordError when a file is damaged.
    """
    by_side: dict[Side, dict[int, Path]] = {}
    for side, folders in FOLDERS.items():
        of_side = [top / folder / sequence for top in tops for folder in folders]
        if numbered := next((pickles for pickle_folder in of_side if (pickles := _numbered(pickle_folder))), None):
            by_side[side] = numbered
    if not by_side or not rate_hz:
        return None
    num_frames = max(max(numbered) for numbered in by_side.values()) + 1
    notes = dict(NOTE)
    sides = {side: _hand(side, numbered, num_frames, root) for side, numbered in by_side.items()}
    right = sides.get("right")
    if right is not None and right.wrist is not None and right.keypoints_2d is not None:
        seen = right.present
        if not agrees(right.wrist[seen, 3:], right.keypoints_2d[seen] * SIZE):
            right.wrist[:, 3:] = np.nan
            notes["hands_rotation_lost"] = "MANO's rotation does not fit the fingers in the picture"
    hands = Hands(
        sides=sides, source="mano", estimated=False, frame="camera", lens=_lens(tops, sequence.split("/")[0], root)
    )
    return Track(hands=hands, time_s=np.arange(num_frames) / rate_hz, slack_s=0.75 / rate_hz, notes=notes)


def _numbered(folder: Path) -> dict[int, Path]:
    """List the pickles of a folder by their frames."""
    if not folder.is_dir():
        return {}
    paths = {int(path.stem): path for path in folder.glob("*.pickle") if path.stem.isdecimal() and len(path.stem) < 10}
    if paths and max(paths) >= MOST_FRAMES:
        raise RecordError(f"{folder.name} has hands of frame {max(paths)}, expected less than {MOST_FRAMES}")
    return paths


def _hand(side: Side, numbered: dict[int, Path], num_frames: int, root: Path) -> Hand:
    present = np.zeros(num_frames, bool)
    points = np.full((num_frames, 21, 2), np.nan, np.float32)
    wrist = np.full((num_frames, 7), np.nan, np.float32)
    for frame, path in numbered.items():
        arrays = _read(path, root)
        present[frame] = True
        points[frame] = arrays["kps2D"] / SIZE
        wrist[frame, :3] = arrays["trans"]
        if side == "right":
            wrist[frame, 3:] = turned_wrist(arrays["poseCoeff"][:3])
    confidence = np.full(num_frames, np.nan, np.float32)
    return Hand(present=present, confidence=confidence, keypoints_2d=points, wrist=wrist)


def _read(path: Path, root: Path) -> dict[str, NDArray[Any]]:
    content = npy.unpickled(files.read_bytes(files.inside(path, root), MAX_BYTES), is_old=True)
    if not isinstance(content, dict):
        raise RecordError(f"{path.name} holds {type(content).__name__}, expected {', '.join(SHAPES)}")
    arrays: dict[str, NDArray[Any]] = {}
    for name, shape in SHAPES.items():
        try:
            arrays[name] = np.asarray(content[name], np.float64).reshape(shape)
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{path.name}: '{name}' is missing or not of shape {shape}") from error
    return arrays


def _lens(tops: Sequence[Path], camera: str, root: Path) -> Lens | None:
    path = next(
        (top / LENS.format(camera=camera) for top in tops if (top / LENS.format(camera=camera)).is_file()), None
    )
    if path is None:
        return None
    k = npy.read(files.inside(path, root), MAX_BYTES)
    if not isinstance(k, np.ndarray) or k.shape != (3, 3):
        raise RecordError(f"{path.name} is no 3x3 matrix")
    width, height = SIZE.tolist()
    return Lens(float(k[0, 0]) / width, float(k[1, 1]) / height, float(k[0, 2]) / width, float(k[1, 2]) / height)
