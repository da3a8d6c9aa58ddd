"""Load a dataset with the real lerobot package, and compare it with what went in; run by its own python.

    python check.py DATASET EXPECTED.npz

EXPECTED holds for each episode i `<i>/<column>` arrays, `<i>/tasks` by frame, and `<i>/<camera>` pictures of its
first, middle and last frame. Prints one JSON object; fails with an AssertionError.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from lerobot.datasets.aggregate import aggregate_datasets
from lerobot.datasets.lerobot_dataset import LeRobotDataset

LEVELS = 6.0
"""How far a frame's mean may move through the codec: half the step between neighbouring frames of the test's videos."""
STATISTICS = {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}


def load(root, **options):
    return LeRobotDataset("made/up", root=root, video_backend="pyav", **options)


def check(root: str, expected: dict[str, np.ndarray]) -> dict[str, object]:
    started = time.perf_counter()
    dataset = load(root)
    loaded_s = time.perf_counter() - started
    episodes = sorted({int(name.partition("/")[0]) for name in expected})
    lengths = [len(expected[f"{i}/source.time_ns"]) for i in episodes]
    starts = np.cumsum([0, *lengths]).tolist()
    assert (dataset.num_episodes, len(dataset), dataset.meta.total_frames) == (len(episodes), starts[-1], starts[-1])
    cameras = sorted(dataset.meta.video_keys)
    check_rows(dataset, expected, episodes, starts)
    worst = max([0.0, *(check_frames(dataset, expected, i, starts[i], lengths[i], cameras) for i in episodes)])
    check_stats(dataset, expected, episodes, cameras)
    check_windows(root, dataset, starts, cameras)
    check_subset(root, starts, lengths)
    batch = next(iter(torch.utils.data.DataLoader(dataset, batch_size=4, shuffle=True)))
    assert all(batch[key].shape[:2] == (4, 3) for key in cameras)
    check_merged(root, len(dataset))
    return {"episodes": len(episodes), "frames": len(dataset), "fps": dataset.fps, "cameras": cameras,
            "worst_mean_level": round(worst, 2), "load_s": round(loaded_s, 2)}  # fmt: skip


def check_rows(dataset, expected, episodes, starts) -> None:
    """Every number of every row, to the last bit."""
    table = dataset.hf_dataset.with_format("numpy")[:]
    assert table["index"].tolist() == list(range(starts[-1]))
    for i in episodes:
        rows = slice(starts[i], starts[i + 1])
        assert table["frame_index"][rows].tolist() == list(range(starts[i + 1] - starts[i]))
        assert set(table["episode_index"][rows].tolist()) == {i}
        for name in (n for n in expected if n.startswith(f"{i}/") and n.split("/")[1] in table):
            actual = np.asarray(table[name.split("/")[1]][rows])
            assert np.array_equal(actual.reshape(expected[name].shape), expected[name]), name


def check_frames(dataset, expected, episode, start, length, cameras) -> float:
    worst = 0.0
    for which, frame in enumerate((0, length // 2, length - 1)):
        item = dataset[start + frame]
        assert item["index"].item() == start + frame
        assert item["task"] == str(expected[f"{episode}/tasks"][frame])
        for key in cameras:
            wanted = expected[f"{episode}/{key}"][which].astype(np.float32)
            actual = item[key].permute(1, 2, 0).numpy() * 255
            assert item[key].dtype == torch.float32
            assert actual.shape == wanted.shape, (actual.shape, wanted.shape)
            worst = max(worst, float(np.abs(actual - wanted).mean()))
    assert worst < LEVELS, worst
    return worst


def check_stats(dataset, expected, episodes, cameras) -> None:
    stats = dataset.meta.stats
    for key in dataset.meta.features:
        assert set(stats[key]) == STATISTICS, key
    for key in cameras:
        assert stats[key]["mean"].shape == (3, 1, 1)
        assert 0 < stats[key]["mean"].mean() < 1
    for key in ("observation.state", "action"):
        if f"0/{key}" in expected:
            rows = np.concatenate([expected[f"{i}/{key}"] for i in episodes]).astype(np.float64)
            for name, value in (
                ("min", rows.min(0)),
                ("max", rows.max(0)),
                ("mean", rows.mean(0)),
                ("std", rows.std(0)),
            ):
                assert np.allclose(stats[key][name], value, atol=1e-6), (key, name)


def check_windows(root, dataset, starts, cameras) -> None:
    """Windows stop at both ends of an episode and say so."""
    step_s = 1 / dataset.fps
    keys = [*cameras[:1], *(key for key in ("observation.state", "action") if key in dataset.meta.features)]
    windowed = load(root, delta_timestamps={key: [-step_s, 0.0, step_s] for key in keys})
    for i in range(dataset.num_episodes):
        first, last = windowed[starts[i]], windowed[starts[i + 1] - 1]
        for key in keys:
            assert first[f"{key}_is_pad"].tolist() == [True, False, False]
            assert last[f"{key}_is_pad"].tolist() == [False, False, True]
            assert torch.equal(first[key][0], first[key][1])
            assert torch.equal(first[key][2], dataset[starts[i] + 1][key])
            assert torch.equal(last[key][0], dataset[starts[i + 1] - 2][key])


def check_subset(root, starts, lengths) -> None:
    last = len(lengths) - 1
    subset = load(root, episodes=[last])
    assert len(subset) == lengths[last]
    assert subset[0]["index"].item() == starts[last]


def check_merged(root, num_frames) -> None:
    """lerobot's own tool can put our dataset together with another one."""
    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder) / "merged"
        aggregate_datasets(["a/one", "a/two"], "a/both", roots=[Path(root), Path(root)], aggr_root=merged)
        both = load(merged)
        assert len(both) == 2 * num_frames
        assert both[2 * num_frames - 1]["frame_index"] == load(root)[num_frames - 1]["frame_index"]


if __name__ == "__main__":
    print(json.dumps(check(sys.argv[1], dict(np.load(sys.argv[2])))))  # noqa: T201
