"""Corpora to export as LeRobot datasets, and what lies in those."""

from dataclasses import replace

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataengine.texts import whole_episode
from pipelines.export import ExportConfig, run
from tests.support.corpora import frames_of, robot_episode

LENGTHS = {"a2": 12, "a10": 7, "b1": 21}


def two_cameras(record, num_steps, **kwargs):
    """Every frame of another grey, the wrist's darker."""
    episode = robot_episode(record, num_steps=num_steps, **kwargs)
    levels = (np.arange(num_steps) * 9 % 200).astype(np.uint8)[:, None, None, None]
    top, wrist = (np.broadcast_to(levels + k, (num_steps, *side, 3)) for k, side in ((40, (48, 64)), (20, (64, 64))))
    return replace(episode, cameras={"primary": frames_of(top), "wrist": frames_of(wrist)})


def arm_episodes():
    episodes = [two_cameras(record, num_steps) for record, num_steps in LENGTHS.items()]
    jitter = np.random.default_rng(0).integers(-9_000_000, 9_000_000, LENGTHS["b1"])
    jitter[0] = 0
    episodes[2] = replace(
        episodes[2],
        time_ns=episodes[2].time_ns + jitter,
        texts=whole_episode(["lift", "raise it"], episodes[2].num_steps),
        split="val",
        notes={"gripper": "odd"},
    )
    return episodes


def export(corpus, out, **kwargs):
    return run(ExportConfig(corpus=corpus.uri, out=str(out), **{"workers": 1, **kwargs}))


def rows_of(root):
    return pa.concat_tables(pq.read_table(file) for file in sorted(root.glob("data/*/*.parquet")))


def entries_of(root):
    return [line for file in sorted(root.glob("meta/episodes/*/*.parquet")) for line in pq.read_table(file).to_pylist()]


def frames_in(path):
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def stored(corpus, record):
    (row,) = corpus.table(["episode_id"], where=f"source_record = '{record}'").to_pylist()
    return corpus.episode(row["episode_id"])
