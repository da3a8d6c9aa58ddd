"""One contender of bench_loader.py, or ours on a URI, delivers batches of random windows; prints CPU of its processes.

Each yields once it has delivered a batch. The first batches are start-up, for everyone: processes begin, files are
opened, buffers get their memory.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import processes
import simplejpeg
import torch
from loader_data import EPISODES, FRAMES, HZ, ROW_GROUP, SIDE, STEPS, STRIDE
from torch.utils.data import DataLoader, Dataset

DATA, CONTENDER, NUM_BATCHES = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
BATCH, WARM = 32, 6
LAST_START = STEPS - (FRAMES - 1) * STRIDE


def picks(seed: int) -> list[tuple[int, list[int]]]:
    draw = np.random.default_rng(seed)
    pairs = zip(draw.integers(EPISODES, size=BATCH), draw.integers(LAST_START, size=BATCH), strict=True)
    return [(int(e), [int(s) + i * STRIDE for i in range(FRAMES)]) for e, s in pairs]


def decode(jpegs: list[bytes], out: np.ndarray) -> np.ndarray:
    for jpeg, buffer in zip(jpegs, out, strict=True):
        simplejpeg.decode_jpeg(jpeg, "RGB", buffer=buffer)
    return out


def empty() -> np.ndarray:
    return np.empty((BATCH * FRAMES, SIDE, SIDE, 3), np.uint8)


def bare() -> Iterator[Any]:
    """Nothing but decoding, from memory, into one buffer."""
    files = {
        (e, s): (DATA / "files" / f"{e:04d}_{s:04d}.jpg").read_bytes() for e in range(EPISODES) for s in range(STEPS)
    }
    out, seed = empty(), 0
    while True:
        yield decode([files[e, s] for e, steps in picks(seed) for s in steps], out)
        seed += 1


def ours(uri: str) -> Iterator[Any]:
    from dataengine.windows.mixture import WindowSampler
    from dataengine.windows.normalize import Normalizer
    from dataengine.windows.window import WindowSpec
    from pipelines.training import data
    from pipelines.training.collators import LamCollator
    from pipelines.training.frames import Buffers, Frames
    from pipelines.training.loading import Loader

    reader = data.open_reader(uri, copies_gb=500)
    spec = WindowSpec(num_frames=FRAMES, interval_s=STRIDE / HZ)
    collator = LamCollator(
        frames=Frames(reader, spec.slots, SIDE),
        buffers=Buffers(4),
        normalizer=Normalizer(reader.statistics()),
        state_dim=7,
        action_dim=7,
    )
    yield from Loader(reader, spec, WindowSampler(reader.episodes, spec, batch_size=BATCH, seed=0), collator)


class Plain(Dataset):
    """How one begins: a window is an item, PIL decodes, floats come out."""

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> torch.Tensor:
        from PIL import Image

        episode, steps = picks(index // BATCH)[index % BATCH]
        paths = (DATA / "files" / f"{episode:04d}_{step:04d}.jpg" for step in steps)
        frames = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
        return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


class Tuned(Dataset):
    """A whole batch is an item, as uint8; simplejpeg decodes; one batched read from the same corpus."""

    def __init__(self) -> None:
        self.reader: Any = None

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> torch.Tensor:
        if self.reader is None:
            from pipelines.training import data

            self.reader = data.open_reader(str(DATA / "corpus"))
        wanted = [(e, s) for e, steps in picks(index) for s in steps]
        return torch.from_numpy(decode(self.reader.jpegs("primary", wanted), empty()))


def plain() -> Iterator[Any]:
    yield from DataLoader(Plain(), batch_size=BATCH, num_workers=2, multiprocessing_context="spawn")


def tuned() -> Iterator[Any]:
    yield from DataLoader(Tuned(), batch_size=None, num_workers=2, multiprocessing_context="spawn")


def web() -> Iterator[Any]:
    import webdataset as wds

    def window(sample: dict) -> np.ndarray:
        out = np.empty((FRAMES, SIDE, SIDE, 3), np.uint8)
        return decode([sample[f"{i}.jpg"] for i in range(FRAMES)], out)

    stream = wds.WebDataset(str(DATA / "windows.tar"), shardshuffle=False, empty_check=False).repeat()
    yield from stream.shuffle(200).map(window).batched(BATCH, partial=False)


def parquet() -> Iterator[Any]:
    """Row groups of 100 steps, as LeRobot's image features lie."""
    import pyarrow.parquet as pq

    file, out, seed = pq.ParquetFile(DATA / "frames.parquet"), empty(), 0
    while True:
        jpegs = []
        for episode, steps in picks(seed):
            rows = [episode * STEPS + step for step in steps]
            groups = {row // ROW_GROUP: None for row in rows}
            tables = {g: file.read_row_group(g, ["image"])["image"].combine_chunks().field("bytes") for g in groups}
            jpegs += [tables[row // ROW_GROUP][row % ROW_GROUP].as_py() for row in rows]
        yield decode(jpegs, out)
        seed += 1


CONTENDERS = {
    "bare": bare,
    "ours_table": lambda: ours(str(DATA / "corpus")),
    "ours_shards": lambda: ours(str(DATA / "shards")),
    "plain": plain,
    "tuned": tuned,
    "web": web,
    "parquet": parquet,
}


def cpu_s() -> float:
    return sum(processes.cpu_s(pid) for pid in processes.tree(os.getpid()))


if __name__ == "__main__":
    batches = iter(ours(CONTENDER) if "://" in CONTENDER else CONTENDERS[CONTENDER]())
    for _ in range(WARM):
        next(batches)
    cpu, wall = cpu_s(), time.perf_counter()
    for _ in range(NUM_BATCHES):
        next(batches)
    spent = {"cpu_s": cpu_s() - cpu, "wall_s": time.perf_counter() - wall, "windows": NUM_BATCHES * BATCH}
    print(json.dumps(spent), flush=True)
    os._exit(0)  # workers that fetch ahead are not waited for
