"""The lerobot package's own dataset as a contender of bench_loader.py, run by the python of lerobot's environment.

    python lerobot_contender.py DATASET BATCHES

The same 64 episodes as `villa export lerobot` writes them (AV1 video), windows of 8 frames at random, as its training
script loads them: LeRobotDataset with delta_timestamps in a DataLoader of two workers. Prints as loader_contenders.py.
"""

import json
import os
import sys
import time

import processes
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from torch.utils.data import DataLoader

WARM, BATCH, FRAMES, INTERVAL_S = 1, 32, 8, 0.3


def main() -> None:
    root, num_batches = sys.argv[1], int(sys.argv[2])
    key = "observation.images.primary"
    spaced = {key: [i * INTERVAL_S for i in range(FRAMES)]}
    dataset = LeRobotDataset("made/up", root=root, video_backend="pyav", delta_timestamps=spaced)
    batches = iter(DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=2))
    for _ in range(WARM):
        assert next(batches)[key].shape[:2] == (BATCH, FRAMES)
    cpu, wall = cpu_s(), time.perf_counter()
    for _ in range(num_batches):
        next(batches)
    spent = {"cpu_s": cpu_s() - cpu, "wall_s": time.perf_counter() - wall, "windows": num_batches * BATCH}
    print(json.dumps(spent), flush=True)
    os._exit(0)  # workers that fetch ahead are not waited for


def cpu_s() -> float:
    return sum(processes.cpu_s(pid) for pid in processes.tree(os.getpid()))


if __name__ == "__main__":
    main()
