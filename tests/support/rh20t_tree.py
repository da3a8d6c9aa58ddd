"""Writes miniature trees in RH20T's layout, by PyAV and numpy.save."""

import json
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from scipy.spatial.transform import Rotation

from dataengine import catalog
from dataengine.episode import Episode, Reject

N = 20
START_MS = 1_631_270_000_000
STEP_MS = 100
SCENE = "task_0001_user_0016_scene_0001_cfg_0003"
SECOND = "task_0001_user_0016_scene_0010_cfg_0003"
FRONT, SIDE, WRIST, UNKNOWN = "038522062288", "104122062295", "045322071843", "f0220001"
OFFSETS = {FRONT: 0, SIDE: 30, WRIST: -40, UNKNOWN: 20}
"""Cameras of the UR5, and how many ms each runs behind the one in front."""
LEVELS = {FRONT: 0, SIDE: 20, WRIST: 40, UNKNOWN: 60}
"""Brightness of a camera's first frame; each next one is brighter by LEVEL_STEP."""
LEVEL_STEP = 6
TEXTS = {
    "task_0001": {"task_description_english": " Press the button. ", "task_description_chinese": "按按钮"},
    "task_0002": {"task_description_english": "Open the box."},
}


def stamps(offset_ms: int, count: int = N) -> list[int]:
    return [START_MS + STEP_MS * i + offset_ms for i in range(count)]


def pose(stamp_ms: float) -> np.ndarray:
    """x y z and quaternion wxyz of a hand that moves and turns evenly."""
    t = (stamp_ms - START_MS) / 1000
    turn = Rotation.from_euler("xyz", [0.3 + t, -0.2, 1.0 - 2 * t]).as_quat()
    return np.array([0.1 + t, -0.2 * t, 0.3, turn[3], *turn[:3]])


def widths(stamp_ms: float) -> dict[str, Any]:
    """Numbers behind the width differ by gripper and mean something else."""
    t = (stamp_ms - START_MS) / 1000
    return {"gripper_info": [100.0 - 20 * t, 7.0, 3.0], "gripper_command": [np.float64(90.0 - 20 * t), 60.0, 1.0]}


def joints(stamp_ms: float, width: int = 6) -> np.ndarray:
    return (stamp_ms - START_MS) / 1000 + np.arange(width) / 10


def save(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, content, allow_pickle=True)


def write_video(path: Path, levels: Sequence[int], height: int = 96, width: int = 128) -> None:
    """h264; the rate that the container claims is wrong on purpose."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for level in levels:
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_camera(scene: Path, serial: str, count: int = N, below: str = "") -> None:
    folder = scene / f"cam_{serial}"
    level = LEVELS.get(serial, 0)
    write_video(folder / below / "color.mp4", [level + LEVEL_STEP * i for i in range(count)])
    write_stamps(scene, serial, stamps(OFFSETS.get(serial, 0), count))


def write_stamps(scene: Path, serial: str, times: Any) -> None:
    save(scene / f"cam_{serial}" / "timestamps.npy", {"color": times, "depth": times})


def write_numbers(scene: Path, serials: Sequence[str] = tuple(OFFSETS), joint_width: int = 6) -> None:
    times = {serial: stamps(OFFSETS.get(serial, 0)) for serial in serials}
    tcp = {s: [{"timestamp": t, "tcp": pose(t), "robot_ft": np.zeros(6)} for t in ts] for s, ts in times.items()}
    save(scene / "transformed" / "tcp_base.npy", tcp)
    save(scene / "transformed" / "gripper.npy", {s: {t: widths(t) for t in ts} for s, ts in times.items()})
    save(scene / "transformed" / "joint.npy", {s: {t: joints(t, joint_width) for t in ts} for s, ts in times.items()})


def write_metadata(scene: Path, **entries: Any) -> None:
    scene.mkdir(parents=True, exist_ok=True)
    (scene / "metadata.json").write_text(json.dumps({"calib": 1640674052372, "calib_quality": 3, **entries}))


def write_scene(folder: Path, name: str = SCENE, serials: Sequence[str] = tuple(OFFSETS), joint_width: int = 6) -> Path:
    scene = folder / name
    for serial in serials:
        write_camera(scene, serial)
    write_numbers(scene, serials, joint_width)
    write_metadata(scene, rating=7, finish_time=START_MS + 10**6)
    return scene


def write_texts(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "task_description.json").write_text(json.dumps(TEXTS))


def write_root(root: Path) -> Path:
    """Two scenes of one task by the UR5."""
    write_scene(root)
    shutil.copytree(root / SCENE, root / SECOND)
    write_texts(root)
    return root


def read_all(root: Path, **settings: Any) -> list[Episode | Reject]:
    source = pickle.loads(pickle.dumps(catalog.source("rh20t")(str(root), **settings)))
    return [outcome for part in source.parts() for outcome in source.read(part)]


def first(root: Path, **settings: Any) -> Episode:
    episode = read_all(root, **settings)[0]
    assert isinstance(episode, Episode), episode
    return episode
