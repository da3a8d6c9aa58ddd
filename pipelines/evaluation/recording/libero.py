"""Recorded LIBERO episodes in both publishers' forms: HDF5 as LIBERO ships it, RLDS as OpenVLA made of it.

HDF5 holds what the robot executed, pushes included, so that it replays to the same states; RLDS what the expert wanted,
which is what a policy is to learn. Pictures are upside down in HDF5, and turned by 180 degrees in RLDS.
"""

import json
import os
import shutil
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from dataengine.whole_file import whole_file
from pipelines.evaluation.recording.libero_episode import VERSION, load


def write_hdf5(files: Sequence[Path], out: Path) -> list[Path]:
    """Write `<suite>/<task>_demo.hdf5` below `out`, a file for each task."""
    written = []
    for (suite, _), group in groupby(files, key=lambda file: tuple(file.stem.split("-")[:2])):
        episodes = [load(file) for file in group]
        path = out / suite / f"{episodes[0]['task']}_demo.hdf5"
        with whole_file(path) as partial:
            _write_task(partial, episodes)
        written.append(path)
    return written


def _write_task(path: Path, episodes: Sequence[dict[str, Any]]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        about = {
            "problem_name": str(episodes[0]["problem"]),
            "domain_name": "robosuite",
            "language_instruction": str(episodes[0]["instruction"]),
        }
        data.attrs["problem_info"] = json.dumps(about)
        data.attrs["macros_image_convention"] = "opengl"
        data.attrs["num_demos"] = len(episodes)
        data.attrs["total"] = sum(len(episode["executed"]) for episode in episodes)
        for i, episode in enumerate(episodes):
            _write_demo(data.create_group(f"demo_{i}"), episode)


def _write_demo(group: Any, episode: dict[str, Any]) -> None:
    count = len(episode["executed"])
    last = np.arange(count) == count - 1
    pose = np.concatenate([episode["position"], episode["rotation"]], axis=1)
    arrays = {
        "actions": episode["executed"],
        "states": episode["physics"],
        "rewards": last.astype(np.uint8),
        "dones": last.astype(np.uint8),
        "robot_states": np.concatenate([episode["fingers"], pose], axis=1),
        "obs/ee_states": pose,
        "obs/ee_pos": pose[:, :3],
        "obs/ee_ori": pose[:, 3:],
        "obs/gripper_states": episode["fingers"],
        "obs/joint_states": episode["joints"],
    }
    for key, values in arrays.items():
        group.create_dataset(key, data=values)
    for key, pictures in (("agentview_rgb", episode["image"]), ("eye_in_hand_rgb", episode["wrist"])):
        group.create_dataset(f"obs/{key}", data=pictures, compression="gzip", chunks=(1, *pictures.shape[1:]))
    group.attrs["num_samples"] = count
    group.attrs["init_state"] = episode["physics"][0]
    group.attrs["start"] = f"{episode['init_set']}/{int(episode['seed'])}"  # `villa eval calibrate` begins there
    group.attrs["side"] = str(episode["image"].shape[1])


def write_rlds(files: Sequence[Path], out: Path, num_shards: int) -> Path:
    """Write `<suite>/1.0.0` below `out`, with TFDS itself, and return that folder; call it in a process of its own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow_datasets as tfds

    from pipelines.evaluation.recording.libero_builder import LiberoObject

    tfds.disable_progress_bar()
    builder = LiberoObject(files=files, data_dir=str(out))
    folder = Path(builder.data_dir)
    shutil.rmtree(folder, ignore_errors=True)
    for leftover in folder.parent.glob(f"{VERSION}.incomplete*"):  # of a run that was killed
        shutil.rmtree(leftover)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=num_shards))
    return folder
