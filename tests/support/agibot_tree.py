"""Writes miniature trees in AgiBot World's layout."""

import json
import shutil
import tarfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.spatial.transform import Rotation

from dataengine.formats.video import video

N = 12
TASK = "327"
EMPTY = np.empty(0, np.float32)
Arrays = dict[str, np.ndarray]


def proprio(seed: int, effectors: int = 2) -> Arrays:
    """Every dataset of the published dump; ends and joints of the action repeat the state, as published."""
    rng = np.random.default_rng(seed)
    joint = np.cumsum(rng.normal(size=(N, 14)), axis=0)
    position = rng.normal(size=(N, 2, 3))
    orientation = Rotation.random(2 * N, random_state=seed).as_quat().reshape(N, 2, 4)
    closing = np.repeat([[0.0, 1.0], [1.0, 0.0]], N // 2, axis=0)
    effector = closing * 110 + 5 if effectors == 2 else rng.normal(size=(N, effectors))
    index = np.arange(N, dtype=np.int64)
    return {
        "timestamp": 1_700_000_000_000_000_000 + index * 33_333_333,
        "state/joint/position": joint,
        "state/joint/current_value": np.zeros((N, 14)),
        "state/joint/velocity": EMPTY,
        "state/effector/position": effector,
        "state/effector/force": EMPTY,
        "state/end/position": position,
        "state/end/orientation": orientation,
        "state/head/position": rng.normal(size=(N, 2)),
        "state/waist/position": rng.normal(size=(N, 2)),
        "state/robot/position": EMPTY,
        "action/joint/position": joint,
        "action/joint/index": index[2:],
        "action/effector/position": closing if effectors == 2 else effector,
        "action/effector/index": index,
        "action/end/position": position,
        "action/end/orientation": orientation,
        "action/end/index": index[2:],
        "action/head/position": rng.normal(size=(N, 2)),
        "action/head/index": index,
        "action/waist/position": rng.normal(size=(N, 2)),
        "action/waist/index": index,
        "action/robot/velocity": rng.normal(size=(N, 2)),
        "action/robot/index": index,
        "action/robot/position": EMPTY,
    }


def write_h5(root: Path, episode: str, arrays: Arrays, task: str = TASK) -> Path:
    path = root / "proprio_stats" / task / episode / "proprio_stats.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            file.create_dataset(key, data=value)
    return path


def write_video(path: Path, num_frames: int = N, level: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = (np.full((96, 128, 3), level + 8 * i, np.uint8) for i in range(num_frames))
    video.encode(path, frames, 30, "av1")


def entry(episode: str) -> dict[str, Any]:
    segments = [
        {"start_frame": 2, "end_frame": 6, "action_text": "Pick up the cup.", "skill": "Pick"},
        {"start_frame": 6, "end_frame": 99, "action_text": "Put it down.", "skill": "Location"},
        {"start_frame": 6, "end_frame": 8, "action_text": " ", "skill": "Location"},
    ]
    return {
        "episode_id": int(episode),
        "task_name": "Tidy the table",
        "init_scene_text": "A cup stands on a table.",
        "label_info": {"action_config": segments},
    }


def write_task_info(root: Path, episodes: list[str], task: str = TASK) -> None:
    (root / "task_info").mkdir(parents=True, exist_ok=True)
    (root / "task_info" / f"task_{task}.json").write_text(json.dumps([entry(e) for e in episodes]))


def write_tree(root: Path, task: str, episodes: list[str], level: int = 0) -> None:
    """Write episodes of one task as they lie once extracted."""
    for i, episode in enumerate(episodes):
        write_h5(root, episode, proprio(int(episode)), task)
        for j, camera in enumerate(("head", "hand_left", "hand_right")):
            write_video(
                root / "observations" / task / episode / "videos" / f"{camera}_color.mp4", N, level + i + 40 * j
            )
        depth = root / "observations" / task / episode / "depth"
        depth.mkdir()
        (depth / "head_depth_000000.png").write_bytes(b"not read")
    write_task_info(root, episodes, task)


def write_tar(path: Path, members: list[tuple[str, Path]], *, dotted: bool = False, pax: bool = False) -> Path:
    """Pack files under names as the publisher's archives have them; PAX headers carry the whole name when asked for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT if pax else tarfile.USTAR_FORMAT) as archive:
        for name, file in members:
            info = archive.gettarinfo(str(file))
            info.name = f"./{name}" if dotted else name
            if pax:
                info.pax_headers = {"path": info.name}
                info.name = "PaxHeaders/shortened"
            with file.open("rb") if file.is_file() else nullcontext() as content:
                archive.addfile(info, content)
    return path


def pack(root: Path, target: Path, ranges: dict[str, list[tuple[int, int]]], numbers: list[tuple[int, int]]) -> Path:
    """Turn an extracted tree into one of archives: `ranges` of each task, `numbers` of proprioception."""
    shutil.copytree(root / "task_info", target / "task_info")
    for task, listed in ranges.items():
        for k, (first, last) in enumerate(listed):
            folder = root / "observations" / task
            files = [f for f in sorted(folder.rglob("*")) if first <= int(f.relative_to(folder).parts[0]) <= last]
            members = [(str(file.relative_to(folder)), file) for file in files]
            write_tar(
                target / "observations" / task / f"{first}-{last}.tar", members, dotted=k % 2 == 1, pax=k % 3 == 1
            )
    stats = root / "proprio_stats"
    for k, (first, last) in enumerate(numbers):
        files = [file for file in sorted(stats.rglob("*.h5")) if first <= int(file.parent.name) <= last]
        members = [(str(file.relative_to(stats)), file) for file in files]
        write_tar(target / "proprio_stats" / f"{first}-{last}.tar", members, dotted=k % 2 == 0, pax=k % 2 == 1)
    return target
