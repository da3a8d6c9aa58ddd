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
    pose = _table(export / "Video" / "Pose_sync.txt", root)
    if pose.num_columns < 18:
        raise RecordError(f"Pose_sync.txt has {pose.num_columns} numbers in a row, expected 18")
    start = _numbers(export / "Video" / "VideoMp4Timing.txt", root)[0]
    time_s = (_column(pose, 1) - start) * TICK_S
    matrices = np.stack([_column(pose, i) for i in range(2, 18)], axis=1).reshape(-1, 4, 4)
    order = np.argsort(time_s, kind="stable")
    sides = {side: _hand(_table(path, root), path.name, side, len(time_s)).take(order) for side, path in there.items()}
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


def _hand(table: pa.Table, name: str, side: Side, num_rows: int) -> Hand:
    first = FIRST_JOINT.get(table.num_columns)
    if first is None:
        raise RecordError(f"{name} has {table.num_columns} numbers in a row, expected 471 or 473")
    if len(table) != num_rows:
        raise RecordError(f"{name} has {len(table)} rows, expected {num_rows} as Pose_sync.txt")
    places = [first + 16 * joint + 4 * axis + 3 for joint in range(JOINTS) for axis in range(3)]
    points = np.stack([_column(table, i) for i in places], axis=1).reshape(-1, JOINTS, 3).astype(np.float32)
    flags = np.stack([_column(table, i) for i in range(first + 16 * JOINTS, first + 18 * JOINTS)], axis=1)
    valid, tracked = flags[:, :JOINTS] > 0, flags[:, JOINTS:] > 0
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
    found = _numbers(path, root)
    if len(found) < 11 or found[-2] <= 0 or found[-1] <= 0:
        raise RecordError(f"{path.name} has {len(found)} numbers, expected 3x3, then width and height at the end")
    width, height = found[-2:]
    return Lens(found[0] / width, found[4] / height, found[2] / width, found[5] / height)


def _numbers(path: Path, root: Path) -> list[float]:
    text = files.read_bytes(files.inside(path, root), MAX_SMALL).decode("utf-8-sig", "replace")
    try:
        found = [float(word) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise RecordError(f"{path.name}: {error}, expected numbers") from error
    if not found:
        raise RecordError(f"{path.name} is empty, expected numbers")
    return found


def _table(path: Path, root: Path) -> pa.Table:
    """Read numbers between tabs, as float64; a tab at the end of each line makes no column."""
    if (size := files.size(path)) is None or size > MAX_BYTES:
        raise RecordError(f"{path.name} is missing" if size is None else f"{path.name} has {size} bytes; not read")
    options: dict[str, Any] = {
        "read_options": csv.ReadOptions(autogenerate_column_names=True, use_threads=False),
        "parse_options": csv.ParseOptions(delimiter="\t"),
        "convert_options": csv.ConvertOptions(null_values=["", "nan", "NaN", "-nan", "-nan(ind)", "inf", "-inf"]),
    }
    try:
        table = csv.read_csv(files.inside(path, root), **options)
    except pa.ArrowInvalid as error:
        raise RecordError(f"{path.name}: {one_line(str(error), 120)}") from error
    if table.num_columns > 1 and pa.types.is_null(table.column(table.num_columns - 1).type):
        table = table.remove_column(table.num_columns - 1)
    for field in table.schema:
        if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type) or pa.types.is_null(field.type)):
            raise RecordError(f"{path.name}: column {field.name[1:]} is no numbers")
    return table


def _column(table: pa.Table, i: int) -> NDArray[np.float64]:
    return table.column(i).cast(pa.float64(), safe=False).to_numpy()
