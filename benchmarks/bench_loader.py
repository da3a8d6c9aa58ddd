"""Random windows of 8 frames at 224 px, delivered as batches: our loader against what else one would use.

Every contender runs in processes of its own, in turns, over the same pictures on the same disk; counted is CPU time of
all its processes per window once it runs. `bare` decodes the same JPEGs from memory and does nothing else. The lerobot
package takes part where VILLA_LEROBOT_PYTHON names the python of its environment (`make check-lerobot` builds one).
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from claims import HERE, QUIET, Claim, last_line, say

BATCHES = {"plain": 8, "parquet": 12, "lerobot": 6}
GOALS = {"plain": 5.0, "tuned": 1.7, "web": 1.25, "parquet": 2.0, "lerobot": 1.0}
LEROBOT = os.environ.get("VILLA_LEROBOT_PYTHON")
PEERS = {
    "plain": "torch DataLoader: a window an item, PIL, floats, 2 workers",
    "tuned": "torch DataLoader: a batch an item, simplejpeg, uint8, 2 workers",
    "web": "WebDataset: a window a sample, shuffle 200, simplejpeg",
    "parquet": "Parquet row groups of 100 frames, simplejpeg",
    "lerobot": "lerobot's LeRobotDataset, AV1 video by PyAV, DataLoader of 2 workers",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=30)
    options = parser.parse_args()
    goals = {name: goal for name, goal in GOALS.items() if LEROBOT or name != "lerobot"}
    runs_of: dict[str, list[dict]] = {name: [] for name in ("bare", "ours_table", "ours_shards", *goals)}
    with tempfile.TemporaryDirectory() as folder:
        last_line(str(HERE / "loader_data.py"), folder)
        for _ in range(options.repeats):
            for name, runs in runs_of.items():
                runs.append(deliver(folder, name, BATCHES.get(name, options.batches)))
    cost = {}
    for name, runs in runs_of.items():
        each = sorted(run["cpu_s"] / run["windows"] * 1e6 for run in runs)
        wall = statistics.median(run["windows"] / run["wall_s"] for run in runs)
        cost[name] = statistics.median(each)
        print(f"{name:12} {cost[name]:.0f} us CPU per window [{each[0]:.0f} to {each[-1]:.0f}], {wall:.0f} windows/s")
    claims = [
        Claim(
            f"loader_{store}_of_decode", cost["bare"] / cost[f"ours_{store}"], 0.93, "bare JPEG decoding", "CPU/window"
        )
        for store in ("table", "shards")
    ]
    claims += [
        Claim(f"loader_{store}_vs_{name}", cost[name] / cost[f"ours_{store}"], goal, PEERS[name], "CPU/window")
        for store in ("table", "shards")
        for name, goal in goals.items()
    ]
    say(claims)


def deliver(folder: str, name: str, num_batches: int) -> dict:
    """Let one contender deliver batches."""
    if name != "lerobot":
        return json.loads(last_line(str(HERE / "loader_contenders.py"), folder, name, str(num_batches)))
    (dataset,) = filter(Path.is_dir, Path(folder, "lerobot").iterdir())
    stub = str(HERE.parent / "tests" / "lerobot_check" / "stub")
    done = subprocess.run(
        [str(LEROBOT), str(HERE / "lerobot_contender.py"), str(dataset), str(num_batches)],
        capture_output=True,
        check=False,
        text=True,
        env={**QUIET, "PYTHONPATH": stub, "HF_HUB_OFFLINE": "1"},
    )
    if done.returncode:
        raise SystemExit(f"lerobot failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
