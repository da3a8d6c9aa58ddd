"""EgoPAT3D's hands: landmarks that MediaPipe found, in protobuf's text form.

hand_frames/hand_landmarks.txt     `<frame>:`, then 21 of `landmark { x: .. y: .. z: .. }`
x, y     shares of the picture, x from the right    -> keypoints_2d; x becomes 1 - x
z        depth relative to the wrist                -> left out

One hand in a frame, and nobody says whose: its side is `unknown`. Some recordings have no such file.

Doubtful: that frames count from 0, as those of clip_ranges.txt are taken to.
"""

import re
from pathlib import Path

import numpy as np

from dataengine.errors import RecordError
from dataengine.formats import files
from dataengine.hands import NUM_KEYPOINTS, Hand, Hands, Track

MAX_BYTES = 2**28
MOST_FRAMES = 1_000_000
TOKEN = re.compile(r"^\s*(\d{1,9})\s*:\s*$|\b([xyz])\s*:\s*(\S+)", re.MULTILINE)


def read(path: Path, root: Path, rate_hz: float) -> Track | None:
    """Read the landmarks of a recording; None where there are none.

    Raise RecordError when no frame of the file has 21 landmarks.
    """
    if not path.is_file():
        return None
    frames = _frames(files.read_bytes(files.inside(path, root), MAX_BYTES).decode("utf-8-sig", "replace"))
    whole = {frame: points for frame, points in frames.items() if points.shape == (NUM_KEYPOINTS, 2)}
    if not whole:
        raise RecordError(f"{path.name} has no frame of {NUM_KEYPOINTS} landmarks")
    numbers = np.array(sorted(whole))
    points = np.stack([whole[frame] for frame in numbers.tolist()]).astype(np.float32)
    hand = Hand(
        present=np.ones(len(numbers), bool), confidence=np.full(len(numbers), np.nan, np.float32), keypoints_2d=points
    )
    lost = len(frames) - len(whole)
    notes = {"hands_bad": f"{lost} of {len(frames)} frames of the recording have no {NUM_KEYPOINTS} landmarks"}
    return Track(
        hands=Hands(sides={"unknown": hand}, source="detector", estimated=True),
        time_s=numbers / rate_hz,
        slack_s=0.75 / rate_hz,
        notes=notes if lost else {},
    )


def _frames(text: str) -> dict[int, np.ndarray]:
    """Collect the points (n, 2) of each frame; of a number that is none, NaN."""
    by_frame: dict[int, list[dict[str, float]]] = {}
    points: list[dict[str, float]] = []
    for match in TOKEN.finditer(text):
        frame, axis, value = match.groups()
        if frame is not None:
            points = by_frame.setdefault(int(frame), []) if int(frame) < MOST_FRAMES else []
        elif axis == "x":
            points.append({"x": _number(value)})
        elif points:
            points[-1][axis] = _number(value)
    return {
        frame: np.array([[1 - point["x"], point.get("y", np.nan)] for point in points]).reshape(-1, 2)
        for frame, points in by_frame.items()
    }


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return np.nan
