"""HoloAssist's joints as exported: rows with their own clock, OpenXR's order, psi's axes."""

import json
from pathlib import Path

import numpy as np
import pytest

from dataengine import catalog
from dataengine.episode import Episode
from dataengine.hands import Side, geometry
from dataengine.hands.orders import OPENXR
from tests.support import counted_video
from tests.support.hands import before_camera, camera_poses, frame_numbers, in_world

FRAMES = 90
START = 637_654_321_000_000_000
"""Ticks at the video's first frame."""
TO_PSI = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
"""OpenCV's axes to x forward, y left, z up."""
FIRST_ROW = -10
"""The tracker begins ten frames before the video."""


def write(path: Path, rows: np.ndarray, first: list[list[str]]) -> None:
    """Write numbers between tabs; rows of many end with one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join([*start, *(f"{x:.9g}" for x in row)]) for start, row in zip(first, rows, strict=True)]
    end = "\t\n" if rows.shape[1] > 16 else "\n"
    path.write_text(end.join(lines) + end)


def add(root: Path, *, flags: int = 1, mirrored: bool = False) -> Path:
    export = root / "R101-day-printer" / "Export_py"
    event = {"id": 0, "label": "Fine grained action", "start": 1.0, "end": 2.5, "attributes": {"Verb": "grab"}}
    session = {"video_name": "R101-day-printer", "taskType": "printer", "events": [event]}
    (root / "data-annotation-trainval-v1_1.json").write_text(json.dumps([session]))
    counted_video.write(export / "Video_pitchshift.mp4", FRAMES, 30.0, size=(56, 96))
    frames = np.arange(FIRST_ROW, FRAMES)
    ticks = [str(START + round(frame / 30 * 1e7)) for frame in frames]
    poses = camera_poses(len(frames))
    write(export / "Video" / "Pose_sync.txt", (poses @ TO_PSI.T).reshape(-1, 16), [["0.5", tick] for tick in ticks])
    (export / "Video" / "VideoMp4Timing.txt").write_text(f"{START}\n{START + 30_000_000}\n")
    k = [600.0, 0, 448, 0, 610, 252, 0, 0, 1, 0, 0, 896, 504]
    (export / "Video" / "Instrinsincs.txt").write_text("\t".join(map(str, k)))
    sides: tuple[Side, ...] = ("left", "right")
    for side in sides:
        points = before_camera(side, len(frames))
        points[..., 2] += FIRST_ROW * 2e-4
        if mirrored:
            points[..., 0] *= -1
        joints = np.full((len(frames), 26, 3), 7.0)
        joints[:, OPENXR] = in_world(points, poses)
        matrices = np.tile(np.eye(4), (len(frames), 26, 1, 1))
        matrices[..., :3, 3] = joints
        valid = np.ones((len(frames), 26))
        if side == "left":
            valid[frames < 45] = 0
        tracked = np.ones((len(frames), 26))
        tracked[:, 13:] = 0
        rows = np.concatenate([matrices.reshape(len(frames), -1), valid, tracked], axis=1)
        name = f"{side.title()}_sync.txt"
        write(export / "Hands" / name, rows, [["0.5", tick, *["1"] * flags] for tick in ticks])
    return export


def read(root: Path) -> Episode:
    source = catalog.source("holoassist")(str(root), context_s=0.0)  # type: ignore[call-arg]
    (episode,) = [record for part in source.parts() for record in source.read(part)]
    assert isinstance(episode, Episode), episode
    return episode


@pytest.mark.parametrize("flags", [1, 3])
def test_each_picture_has_the_hands_of_its_time(tmp_path: Path, flags: int) -> None:
    add(tmp_path, flags=flags)
    episode = read(tmp_path)
    hands = episode.hands
    assert hands is not None, episode.notes
    frames = counted_video.numbers(list(episode.cameras["primary"].jpegs))
    assert frames == list(range(30, 75, 3))
    assert frame_numbers(hands, "right") == frames
    assert frame_numbers(hands, "left") == [frame if frame >= 45 else None for frame in frames]
    camera = geometry.in_camera(hands.sides["right"].keypoints, "world", hands.camera)  # type: ignore[arg-type]
    np.testing.assert_allclose(camera[0] - camera[0, 0], before_camera("right", 1)[0] - [0.12, 0.1, 0.5], atol=1e-5)
    np.testing.assert_allclose(hands.sides["right"].confidence, 0.5)
    assert (hands.source, hands.frame) == ("tracker", "world")
    z = 0.5 + 30 * 2e-4
    where = [600 / 896 * 0.12 / z + 0.5, 610 / 504 * 0.1 / z + 0.5]
    np.testing.assert_allclose(geometry.in_picture(hands, "right")[0], where, rtol=1e-3)  # type: ignore[index]


def test_a_mirrored_world_costs_the_hands_alone(tmp_path: Path) -> None:
    add(tmp_path, mirrored=True)
    episode = read(tmp_path)
    assert episode.hands is None
    assert "left and right swapped, or mirrored?" in episode.notes["hands_lost"]


def test_a_session_without_hands_has_none_and_no_note(tmp_path: Path) -> None:
    export = add(tmp_path)
    for name in ("Left_sync.txt", "Right_sync.txt"):
        (export / "Hands" / name).unlink()
    episode = read(tmp_path)
    assert episode.hands is None
    assert not [key for key in episode.notes if key.startswith("hands")]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("Hands/Left_sync.txt", "1\t2\t3\n", "Left_sync.txt has 3 numbers in a row, expected 471 or 473"),
        (
            "Hands/Left_sync.txt",
            "1\t" * 470 + "1\n1\t2\n",
            "Left_sync.txt: CSV parse error: Row #2: Expected 471 columns",
        ),
        ("Hands/Right_sync.txt", "cat\t" * 470 + "1\n", "Right_sync.txt: In CSV column #"),
        ("Hands/Right_sync.txt", "", "Right_sync.txt has 1 numbers in a row"),
        ("Hands/Right_sync.txt", None, "Right_sync.txt has 50 rows, expected 100 as Pose_sync.txt"),
        ("Video/Pose_sync.txt", "1\t2\n", "Pose_sync.txt has 2 numbers in a row, expected 18"),
        ("Video/VideoMp4Timing.txt", "soon", "VideoMp4Timing.txt: could not convert string to float: 'soon'"),
        ("Video/Instrinsincs.txt", "1 2 3", "Instrinsincs.txt has 3 numbers"),
    ],
)
def test_damaged_files_cost_the_hands_alone(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    path = add(tmp_path) / name
    half = "\n".join(path.read_text().splitlines()[:50]) + "\n"
    path.write_text(half if text is None else text)
    episode = read(tmp_path)
    assert episode.hands is None
    assert said in episode.notes["hands_lost"]
    assert len(episode.cameras["primary"].jpegs) == 15
