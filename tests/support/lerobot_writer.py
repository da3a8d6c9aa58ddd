"""Writes LeRobot trees as the format's facts describe them, with pyarrow and PyAV alone."""

import io
import json
from fractions import Fraction

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

FPS = 10
LENGTHS = (12, 9, 15)
TASKS = ("pick the cube", "place the cube", "pick the cube")
TOP, WRIST = "observation.images.top", "observation.images.wrist"
SIDES = {TOP: (48, 64), WRIST: (64, 48)}
MOTORS = ["shoulder", "elbow", "gripper"]
DEFAULTS = {
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    **{
        key: {"dtype": "int64", "shape": [1], "names": None}
        for key in ("frame_index", "episode_index", "index", "task_index")
    },
}
FEATURES = {
    "observation.state": {"dtype": "float32", "shape": [3], "names": [f"{motor}.pos" for motor in MOTORS]},
    "action": {"dtype": "float32", "shape": [3], "names": [f"{motor}.pos" for motor in MOTORS]},
}


def camera(key, dtype="video"):
    return {"dtype": dtype, "shape": [*SIDES[key], 3], "names": ["height", "width", "channels"], "info": None}


def level(episode, step):
    """Grey of a frame: tells episode and step, 5 levels apart."""
    return 12 + 77 * episode + 5 * step


def state_of(episode, length=None):
    draw = np.random.default_rng(episode)
    return draw.normal(size=(length or LENGTHS[episode], 3))


def action_of(episode, length=None):
    return state_of(episode, length) + 100


def write_video(path, levels, sides, fps=FPS, codec="libx264", options=None, start=0):
    """One grey frame for each level, at exactly k / fps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=Fraction(fps), options=options or {"g": "250", "bf": "3", "crf": "10"}
        )
        stream.height, stream.width, stream.pix_fmt = *sides, "yuv420p"
        stream.codec_context.time_base = Fraction(1, fps)
        for k, grey in enumerate(levels):
            frame = av.VideoFrame.from_ndarray(np.full((*sides, 3), grey, np.uint8), format="rgb24")
            frame.pts, frame.time_base = k + start, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def rows_of(episode, first, length=None, *, prefix="observation.", texts=None):
    """Columns of one episode; `first` is the number of its first row in the dataset."""
    length = length or LENGTHS[episode]
    state, action = state_of(episode, length).astype(np.float32), action_of(episode, length).astype(np.float32)
    names = ("observation.state", "action") if prefix else ("state", "actions")
    return {
        names[0]: pa.array(state.tolist(), pa.list_(pa.float32(), 3)),
        names[1]: pa.array(action.tolist(), pa.list_(pa.float32())),
        **{key: pa.array(values) for key, values in (texts or {}).items()},
        "timestamp": pa.array((np.arange(length) / FPS).astype(np.float32)),
        "frame_index": pa.array(np.arange(length)),
        "episode_index": pa.array(np.full(length, episode)),
        "index": pa.array(np.arange(first, first + length)),
        "task_index": pa.array(np.full(length, sorted(set(TASKS)).index(TASKS[episode]))),
    }


def write_rows(path, *episodes):
    """One row group for each episode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = [pa.table(columns) for columns in episodes]
    with pq.ParquetWriter(path, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)


def png(grey, sides):
    data = io.BytesIO()
    Image.fromarray(np.full((*sides, 3), grey, np.uint8)).save(data, "PNG")
    return data.getvalue()


def info(version, features, **changes):
    v3 = {
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }
    v2 = {
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        "total_chunks": 1,
        "total_videos": 6,
    }
    return {
        "codebase_version": version,
        "robot_type": "so100",
        "total_episodes": len(LENGTHS),
        "total_frames": sum(LENGTHS),
        "total_tasks": 2,
        "chunks_size": 1000,
        "fps": FPS,
        "splits": {"train": "0:2", "test": "2:3"},
        "features": {**features, **DEFAULTS},
        **(v3 if version == "v3.0" else v2),
        **changes,
    }


def write_v3(root, *, data_files=((0, 1), (2,)), video_files=None, features=FEATURES, **changes):
    """Three episodes in two data files; `top` in one mp4, `wrist` in two, so that their starts differ."""
    video_files = video_files or {TOP: ((0, 1, 2),), WRIST: ((0,), (1, 2))}
    features = {**features, **{key: camera(key) for key in video_files}}
    write_json(root / "meta/info.json", info("v3.0", features, **changes))
    firsts = np.cumsum([0, *LENGTHS])
    lines = [
        {
            "episode_index": i,
            "tasks": [TASKS[i]],
            "length": LENGTHS[i],
            "dataset_from_index": int(firsts[i]),
            "dataset_to_index": int(firsts[i + 1]),
        }
        for i in range(len(LENGTHS))
    ]
    for number, members in enumerate(data_files):
        write_rows(root / f"data/chunk-000/file-{number:03d}.parquet", *(rows_of(i, firsts[i]) for i in members))
        for i in members:
            lines[i] |= {"data/chunk_index": 0, "data/file_index": number}
    for key, video_members in video_files.items():
        for number, members in enumerate(video_members):
            path = root / f"videos/{key}/chunk-000/file-{number:03d}.mp4"
            write_video(path, [level(i, k) for i in members for k in range(LENGTHS[i])], SIDES[key])
            starts = np.cumsum([0, *(LENGTHS[i] for i in members)])
            for i, start in zip(members, starts, strict=False):
                lines[i] |= {f"videos/{key}/chunk_index": 0, f"videos/{key}/file_index": number}
                lines[i] |= {
                    f"videos/{key}/from_timestamp": start / FPS,
                    f"videos/{key}/to_timestamp": (start + LENGTHS[i]) / FPS,
                }
    write_entries(root, lines)
    tasks = sorted(set(TASKS))
    table = pa.table({"task_index": list(range(len(tasks))), "__index_level_0__": tasks})
    pq.write_table(table, root / "meta/tasks.parquet")
    return root


def write_entries(root, *files):
    """The episodes' metadata, sharded as the lists are."""
    for number, lines in enumerate(files):
        path = root / f"meta/episodes/chunk-000/file-{number:03d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(lines), path)


def read_lines(root):
    return pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()


def write_v2(root, *, version="v2.1", prefix="observation.", **changes):
    """Three episodes, a file each."""
    named = FEATURES if prefix else {"state": FEATURES["observation.state"], "actions": FEATURES["action"]}
    features = {**named, TOP: camera(TOP), WRIST: camera(WRIST)}
    write_json(root / "meta/info.json", info(version, features, **changes))
    firsts = np.cumsum([0, *LENGTHS])
    for i, length in enumerate(LENGTHS):
        write_rows(root / f"data/chunk-000/episode_{i:06d}.parquet", rows_of(i, firsts[i], prefix=prefix))
        for key, sides in SIDES.items():
            path = root / f"videos/chunk-000/{key}/episode_{i:06d}.mp4"
            write_video(path, [level(i, k) for k in range(length)], sides)
    entries = [{"episode_index": i, "tasks": [TASKS[i]], "length": LENGTHS[i]} for i in range(len(LENGTHS))]
    write_lines(root / "meta/episodes.jsonl", entries)
    write_lines(
        root / "meta/tasks.jsonl", [{"task_index": i, "task": task} for i, task in enumerate(sorted(set(TASKS)))]
    )
    return root


def write_lines(path, values):
    path.write_text("".join(value if isinstance(value, str) else json.dumps(value) + "\n" for value in values))
