"""HoloAssist's hands: a HoloLens 2 tracked 26 joints of each, and itself, in the world of a session.

Export_py/Hands/{Left,Right}_sync.txt  a row for each of Pose_sync.txt, 471 or 473 numbers between tabs:
    times, flags                       2 and 1, or 2 and 3; what the flags mean is told differently and not read
    26 joints of OpenXR                4x4 row by row, metres           -> keypoints
    26 valid, 26 tracked               0 or 1    -> present: wrist valid; confidence: share tracked
Export_py/Video/Pose_sync.txt          two times, the second in units of 100 ns; 4x4 camera in the world -> camera
Export_py/Video/VideoMp4Timing.txt     start of the video in the same units -> seconds after its start
Export_py/Video/Intrinsics.txt         3x3 row by row; last width and height, pixels; spelt `Instrinsincs` too -> lens

World and camera of the files have x forward, y left, z up; the camera is turned to OpenCV's axes, the world stays.

Doubtful: the publisher's tool says that tracking lags by some 50 ms and corrects nothing by default; nor is it here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from dataengine.errors import RecordError
from dataengine.formats import files
from dataengine.hands import Hand, Hands, Lens, Side, Track, geometry
from dataengine.hands.orders import OPENXR, ordered
from dataengine.reading import one_line

JOINTS, WRIST = 26, 1
FIRST_JOINT = {471: 3, 473: 5}
"""Numbers in a row, and which of them is the first of the joints."""
POSE = range(1, 18)
"""Columns of time and matrix in a row of 18."""
TICK_S = 1e-7
SIDES: dict[Side, str] = {"left": "Left_sync.txt", "right": "Right_sync.txt"}
LENSES = ("Intrinsics.txt", "Instrinsincs.txt")
TO_CV = np.array([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""Points of the files' camera to OpenCV's axes."""
MAX_BYTES = 2**30
MAX_SMALL = 2**16
SLACK_S = 0.05


def read(export: Path, root: Path) -> Track | None:
    """Read the hands of a session out of its folder `Export_py`; None where there are none.

    Raise RecordError when some of what belongs to them is missing or damaged.
    """
    there = {side: path for side, name in SIDES.items() if (path := export / "Hands" / name).is_file()}
    if not there:
        return None
    pose_path = export / "Video" / "Pose_sync.txt"
    if (count := _width(pose_path, root)) <= len(POSE):
        raise RecordError(f"Pose_sync.txt has {count} numbers in a row, expected {len(POSE) + 1}")
    pose = _table(pose_path, root, POSE)
    start = _numbers(export / "Video" / "VideoMp4Timing.txt", root)[0]
    time_s, matrices = (pose[:, 0] - start) * TICK_S, pose[:, 1:].reshape(-1, 4, 4)
    order = np.argsort(time_s, kind="stable")
    sides = {side: _hand(path, root, side, len(time_s)).take(order) for side, path in there.items()}
    lens = _lens(export, root)
    hands = Hands(
        sides=sides,
        source="tracker",
        estimated=False,
        frame="world",
        lens=lens,
        camera=geometry.poses(matrices @ np.linalg.inv(TO_CV))[order],
    )
    notes = {} if lens else {"hands_lens": "the session has no Intrinsics.txt"}
    return Track(hands=hands, time_s=time_s[order], slack_s=SLACK_S, notes=notes)


def _hand(path: Path, root: Path, side: Side, num_rows: int) -> Hand:
    count = _width(path, root)
    first = FIRST_JOINT.get(count)
    if first is None:
        raise RecordError(f"{path.name} has {count} numbers in a row, expected 471 or 473")
    columns = [first + 16 * joint + 4 * axis + 3 for joint in range(JOINTS) for axis in range(3)]
    table = _table(path, root, [*columns, *range(first + 16 * JOINTS, first + 18 * JOINTS)])
    if len(table) != num_rows:
        raise RecordError(f"{path.name} has {len(table)} rows, expected {num_rows} as Pose_sync.txt")
    points = table[:, : len(columns)].reshape(-1, JOINTS, 3).astype(np.float32)
    valid, tracked = table[:, -2 * JOINTS : -JOINTS] > 0, table[:, -JOINTS:] > 0
    points[~valid] = np.nan
    present = np.asarray(np.isfinite(points[:, WRIST]).all(axis=1))
    points[~present] = np.nan
    confidence = np.where(present, tracked.mean(axis=1), np.nan).astype(np.float32)
    keypoints = ordered(points, OPENXR)
    return Hand(present=present, confidence=confidence, keypoints=keypoints, wrist=geometry.wrist_pose(keypoints, side))


def _lens(export: Path, root: Path) -> Lens | None:
    path = next((export / "Video" / name for name in LENSES if (export / "Video" / name).is_file()), None)
    if path is None:
        return None
    numbers = _numbers(path, root)
    if len(numbers) < 11 or numbers[-2] <= 0 or numbers[-1] <= 0:
        raise RecordError(f"{path.name} has {len(numbers)} numbers, expected 3x3, then width and height at the end")
    width, height = numbers[-2:]
    return Lens(numbers[0] / width, numbers[4] / height, numbers[2] / width, numbers[5] / height)


def _numbers(path: Path, root: Path) -> list[float]:
    text = files.read_bytes(files.inside(path, root), MAX_SMALL).decode("utf-8-sig", "replace")
    try:
        numbers = [float(word) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise RecordError(f"{path.name}: {error}, expected numbers") from error
    if not numbers:
        raise RecordError(f"{path.name} is empty, expected numbers")
    return numbers


def _width(path: Path, root: Path) -> int:
    """Count the numbers of the first row; a tab at the end of a line makes none."""
    if (size := files.size(path)) is None or size > MAX_BYTES:
        raise RecordError(f"{path.name} is missing" if size is None else f"{path.name} has {size} bytes; not read")
    with files.inside(path, root).open("rb") as opened:
        return len(opened.readline(MAX_SMALL).rstrip().split(b"\t"))


def _table(path: Path, root: Path, columns: Sequence[int]) -> NDArray[np.float64]:
    """Read columns of numbers between tabs, (n, columns); what is no number is NaN where it says so."""
    names = [f"f{i}" for i in columns]
    options: dict[str, Any] = {
        "read_options": csv.ReadOptions(autogenerate_column_names=True, use_threads=False),
        "parse_options": csv.ParseOptions(delimiter="\t"),
        "convert_options": csv.ConvertOptions(
            include_columns=names,
            column_types=dict.fromkeys(names, pa.float64()),
            null_values=["", "nan", "NaN", "-nan", "-nan(ind)", "inf", "-inf"],
        ),
    }
    try:
        table = csv.read_csv(files.inside(path, root), **options)
    except pa.ArrowInvalid as error:
        raise RecordError(f"{path.name}: {one_line(str(error), 120)}") from error
    return np.stack([column.to_numpy() for column in table.columns], axis=1)
