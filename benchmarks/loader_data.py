"""Writes one set of episodes in every layout that bench_loader.py compares: `python loader_data.py FOLDER`.

Pictures are a window of 224 px that wanders over a photograph (matplotlib's sample), with a little noise, as JPEG of
quality 92 and about 16 KB: as hard to decode as camera pictures at that size.
"""

import sys
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import simplejpeg
from matplotlib import cbook
from PIL import Image

from dataengine.episode import CameraFrames, Episode
from dataengine.store import Corpus
from dataengine.store.commit.add import add_episodes
from dataengine.texts import whole_episode
from pipelines import export, shard, stats

SIDE, HZ, STEPS, EPISODES, FRAMES, STRIDE = 224, 10.0, 90, 64, 8, 3
ROW_GROUP = 100
"""Not a multiple of an episode: groups do not begin where episodes do, in real datasets either."""


def pictures(number: int, photograph: np.ndarray, side: int = SIDE) -> list[bytes]:
    draw = np.random.default_rng(number)
    room = np.array(photograph.shape[:2]) - side
    path = np.clip(draw.uniform(0, 1, 2) * room + np.cumsum(draw.normal(0, 4, (STEPS, 2)), axis=0), 0, room).astype(int)
    jpegs = []
    for y, x in path:
        noisy = photograph[y : y + side, x : x + side] + draw.normal(0, 3, (side, side, 1))
        image = np.ascontiguousarray(noisy.clip(0, 255).astype(np.uint8))
        jpegs.append(simplejpeg.encode_jpeg(image, 92, "RGB", "420"))
    return jpegs


def episode(number: int, jpegs: list[bytes], side: int = SIDE) -> Episode:
    draw = np.random.default_rng(number)
    frames = CameraFrames(jpegs=jpegs, height=side, width=side, native_height=side, native_width=side)
    return Episode(
        dataset="photograph",
        source_record=f"{number:04d}",
        source_uri="memory",
        embodiment="arm",
        kind="robot",
        control_hz=HZ,
        texts=whole_episode(["look around"], STEPS),
        time_ns=(np.arange(STEPS) * 1e9 / HZ).astype(np.int64),
        cameras={"primary": frames},
        state=draw.normal(size=(STEPS, 7)).astype(np.float32),
        action=draw.normal(size=(STEPS, 7)).astype(np.float32),
        state_encoding="eef_pose",
        action_encoding="eef_delta",
    )


def write(out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        photograph = np.asarray(Image.open(file).convert("RGB")).astype(np.float32)
    episodes = [pictures(number, photograph) for number in range(EPISODES)]
    corpus = Corpus.create(str(out / "corpus"))
    add_episodes(corpus, [episode(number, jpegs) for number, jpegs in enumerate(episodes)])
    stats.run(stats.StatsConfig(corpus=str(out / "corpus")))
    shard.run(shard.ShardConfig(corpus=str(out / "corpus"), out=str(out / "shards")))
    export.run(export.ExportConfig(corpus=str(out / "corpus"), out=str(out / "lerobot")))
    (out / "files").mkdir()
    rows = []
    for number, jpegs in enumerate(episodes):
        for step, jpeg in enumerate(jpegs):
            (out / "files" / f"{number:04d}_{step:04d}.jpg").write_bytes(jpeg)
            rows.append({"image": {"bytes": jpeg, "path": None}})
    pq.write_table(pa.Table.from_pylist(rows), out / "frames.parquet", row_group_size=ROW_GROUP)
    # WebDataset streams: what is to be random must lie in random order, so each sample is one window.
    draw = np.random.default_rng(0)
    with tarfile.open(out / "windows.tar", "w") as tar:
        for sample in range(1024):
            number, start = draw.integers(EPISODES), draw.integers(STEPS - (FRAMES - 1) * STRIDE)
            for i in range(FRAMES):
                jpeg = episodes[number][start + i * STRIDE]
                member = tarfile.TarInfo(f"{sample:06d}.{i}.jpg")
                member.size = len(jpeg)
                tar.addfile(member, BytesIO(jpeg))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    print("written")
